"""What differs from run to run of a lesson, and what stands for it on its page.

The one rule: the same thing has the same name all over a page, so that a reader can follow a version or a task through
the messages: the first hash is `version-1`, the first task of orders `orders-1`.
"""

from __future__ import annotations

import re
from collections import defaultdict

_HASH = re.compile(r"\b[0-9a-f]{12,64}\b")
_TASK = re.compile(r"\b(?P<owner>[a-z]+(?:-[a-z]+)*)-(?P<id>[0-9a-f]{8})\b")
_REVISION = re.compile(r"(?<=/)[0-9a-f]{8,10}(?=[/\s,@]|$)", re.MULTILINE)
_NONCE = re.compile(r"\bnonce (?P<nonce>\S+)")
_LATENCY = re.compile(r"\bafter (?P<ms>\d+\.\d) ms")
_SMALL = 500.0  # ms: of what is quicker the number says nothing
_FIXED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), mask)
    for pattern, mask in (
        (r"\b\d\d:\d\d:\d\d\.\d{3}\b", "hh:mm:ss.mmm"),
        (r"\b\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?", "yyyy-mm-ddThh:mm:ssZ"),
        (r"^ *\d+(?=  hh:mm)", "     n"),
        (r"(?<=--after )\d+|(?<=xds show )\d+|(?<=\bevent )\d+", "n"),
        (r"(?<=, stream )\d+", "N"),
        (r"(?<=identifier: tsunagu-)\d+", "PID"),
        (r"\br\d+\b", "rN"),
        (r"\brevision \d+", "revision N"),
        (r"(?<=127\.0\.0\.1:)\d{4,5}\b", "PORT"),
        (r"(?<=hostPort: )\d{4,5}\b", "PORT"),
        (r"/tmp/tsunagu-[\w-]+", "/tmp/tsunagu-lesson"),  # noqa: S108 - a name in a text
    )
)
#: What a run counts and measures. A duration keeps its place in a table.
_OF_OUTPUT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b\d+(?:\.\d+)?[smh](?=\s|$)", re.MULTILINE), "Ns"),
    (re.compile(r"\b\d+(?= of \d+ requests)|(?<= of )\d+(?= requests)|\b\d+(?= x )"), "N"),
    (re.compile(r"(?<=SIGTERM at )[\d.]+, [\d.]+ s"), "TIME, N s"),
    (re.compile(r"(?<=lb_healthy_panic: )\d+|(?<=enforced_total: )\d+"), "N"),
)


class Masks:
    """The masks of one page; they number what they meet."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = defaultdict(dict)

    def __call__(self, text: str) -> str:
        """The text as it stands on the page."""
        text = _LATENCY.sub(_latency, text)
        text = _TASK.sub(lambda found: self._number(found["owner"], found["id"], f"{found['owner']}-"), text)
        text = _REVISION.sub(lambda found: self._number("revision", found[0], "revision-"), text)
        text = _HASH.sub(lambda found: self._number("version", found[0], "version-"), text)
        text = _NONCE.sub(lambda found: "nonce " + self._number("nonce", found["nonce"], "#"), text)
        for pattern, mask in _FIXED:
            text = pattern.sub(mask, text)
        return text

    def output(self, text: str) -> str:
        """What a command has printed, or a load has counted, as it stands on the page."""
        for pattern, mask in _OF_OUTPUT:
            text = pattern.sub(mask, text)
        return "\n".join(line.rstrip() for line in self(text).split("\n"))

    def _number(self, kind: str, value: str, prefix: str) -> str:
        known = self._seen[kind]
        return known.setdefault(value, f"{prefix}{len(known) + 1}")


def _latency(found: re.Match[str]) -> str:
    ms = float(found["ms"])
    return "after N ms" if ms < _SMALL else f"after {ms / 1000:.0f} s"
