"""The recordings that come with the package, and questions about them for a class: `tsunagu xds replay boot`.

The one rule: an answer is computed from the recording, so it is true of what the class sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.cli.recording import Recording
from tsunagu.client.connection import short
from tsunagu.lessons.course import page_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tsunagu.v1.inspector_pb2 import TimelineEvent

    Events = Sequence[TimelineEvent]

FOLDER = Path(__file__).with_name("recordings")

#: Name -> what is in it.
RECORDINGS: Mapping[str, str] = MappingProxyType(
    {
        "boot": "three Envoys start: `front`, and one beside each of two copies of `orders`",
        "rollout": "both copies of `orders` are replaced by copies of a new version",
        "nack": "all three Envoys are sent a listener that they refuse, and then one that they accept",
        "reconnect": "the control plane was killed; the three Envoys come back to a new one",
        "storm": "the same with twelve copies of `orders`: thirteen Envoys come back at once",
    }
)


@dataclass(frozen=True, slots=True)
class RecordedQuestion:
    """A question about a recording; `answer` computes it from the events."""

    recording: str
    asks: str
    answer: Callable[[Events], str]


def path(name: str) -> Path:
    """The file of a recording."""
    return FOLDER / f"{name}.jsonl"


def events(name: str) -> Events:
    """The events of a recording."""
    return list(Recording(path(name)))


def _of(found: Events, kind: str, *, proxy: str = "", type: str = "") -> Events:  # noqa: A002 - a type of xDS
    return [one for one in found if one.kind == kind and short(one.proxy).startswith(proxy) and type in ("", one.type)]


def _types(found: Iterable[TimelineEvent]) -> str:
    return ", ".join(dict.fromkeys(one.type for one in found)) or "none"


def _proxies(found: Events) -> int:
    return len({one.proxy for one in found})


def _seconds(found: Events) -> float:
    return (found[-1].time.ToNanoseconds() - found[0].time.ToNanoseconds()) / 1e9


def _refusals(found: Events) -> str:
    (words,) = {" ".join(one.detail.split()) for one in _of(found, "nack")}
    return words


def _sends_of_refused(found: Events) -> str:
    front = [one for one in _of(found, "send", proxy="front") if "extra" in one.names]
    return f"{len(front)}: {', '.join(one.versions['extra'] for one in front)}"


QUESTIONS: tuple[RecordedQuestion, ...] = (
    RecordedQuestion("boot", "How many Envoys connect?", lambda found: str(len(_of(found, "connect")))),
    RecordedQuestion(
        "boot",
        "In which order does `front` ask for types for the first time?",
        lambda found: _types(_of(found, "subscribe", proxy="front")),
    ),
    RecordedQuestion("boot", "How many responses were refused?", lambda found: str(len(_of(found, "nack")))),
    RecordedQuestion(
        "rollout", "Which types of resources is `front` sent?", lambda found: _types(_of(found, "send", proxy="front"))
    ),
    RecordedQuestion(
        "rollout",
        "How many Envoys connect, and how many streams close?",
        lambda found: f"{len(_of(found, 'connect'))} connect, {len(_of(found, 'close'))} close",
    ),
    RecordedQuestion("nack", "In which words do the Envoys refuse the listener?", _refusals),
    RecordedQuestion(
        "nack", "How often is `front` sent the listener `extra`, and in which versions?", _sends_of_refused
    ),
    RecordedQuestion(
        "reconnect", "Of which types are the Envoys sent anything?", lambda found: _types(_of(found, "send"))
    ),
    RecordedQuestion(
        "reconnect",
        "How many resources are named in all requests together, and how many in all responses?",
        lambda found: (
            f"{sum(len(one.names) for one in _of(found, 'subscribe'))} and "
            f"{sum(len(one.names) for one in _of(found, 'send'))}"
        ),
    ),
    RecordedQuestion("storm", "How many Envoys come back?", lambda found: str(_proxies(_of(found, "connect")))),
    RecordedQuestion(
        "storm", "How long is it from the first connection to the last ACK?", lambda found: f"{_seconds(found):.1f} s"
    ),
    RecordedQuestion(
        "storm",
        "How many bytes does the control plane send for that?",
        lambda found: f"{sum(one.bytes for one in _of(found, 'send')):,}",
    ),
)


_HEAD = f"""Five timelines of real Envoys that come with the package, to be looked at where nothing can be run, and by a whole class
at once. `tsunagu xds replay boot` shows one, `--speed 1` with its pauses, `--wide` with every name, version and nonce,
`--proxy front` that of one proxy alone. How a line is to be read is in [lesson 1]({page_name(1)})."""


def page() -> str:
    """docs/lessons/recordings.md: the recordings, the questions, and the answers at the end."""
    parts = [
        "<!-- made by controlplane/tsunagu/lessons/recordings.py: TSUNAGU_REWRITE=1 pytest tests/unit/lessons/test_recordings.py -->",
        "# Recordings, with questions",
        _HEAD,
        "\n".join(
            [
                "| recording | what is in it |",
                "|---|---|",
                *(f"| `{name}` | {what} |" for name, what in RECORDINGS.items()),
            ]
        ),
        "## Questions",
        "\n".join(f"{number}. `{one.recording}`: {one.asks}" for number, one in enumerate(QUESTIONS, 1)),
        "## Answers",
        "\n".join(f"{number}. {one.answer(events(one.recording))}" for number, one in enumerate(QUESTIONS, 1)),
    ]
    return "\n\n".join(parts) + "\n"
