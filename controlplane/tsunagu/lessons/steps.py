"""The steps of which lessons are made: a command, a file, load, and waiting for what must happen.

The one rule: what a step shows is what it did. A command is shown as it is run, a file as it is written.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC
from string import Template
from typing import TYPE_CHECKING, Any

from tsunagu.cli.commands.xds import line
from tsunagu.lessons.shown import LessonFailed, Shown
from tsunagu.testing import Plan
from tsunagu.testing.load import NOT_SENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tsunagu.lessons.lesson import Step
    from tsunagu.lessons.seen import Seen
    from tsunagu.lessons.stage import Stage
    from tsunagu.testing import Report
    from tsunagu.v1.inspector_pb2 import TimelineEvent

_POLL = 0.02


def filled(text: str, words: Mapping[str, str]) -> str:
    """A text with the values of its $NAMES. Raises LessonFailed for one that the stage does not know."""
    try:
        return Template(text).substitute(words)
    except (KeyError, ValueError) as error:
        raise LessonFailed(f"the stage has no {error} for {text!r}; it has {', '.join(words)}") from None


@dataclass(frozen=True, slots=True)
class Run:
    """Runs a command (or what the stage runs). Its output is kept as `keep`; `words` are more $NAMES, from what was seen."""

    command: str
    exit: int = 0
    keep: str = ""
    words: Callable[[Seen], Mapping[str, str]] = field(default=lambda _: {})

    def __call__(self, stage: Stage, seen: Seen) -> Sequence[Shown]:
        shown = stage.run(filled(self.command, {**_words(stage, seen), **self.words(seen)}), self.exit)
        if self.keep:
            seen.values[self.keep] = "\n".join(one.body for one in shown)
        return shown


def log(proxy: str = "", type: str = "", *, wide: bool = False) -> Run:  # noqa: A002 - a type of xDS
    """The messages of this scene, as the command line shows them."""
    options = [f"--proxy {proxy}" if proxy else "", f"--type {type}" if type else "", "--wide" if wide else ""]
    return Run(" ".join(["tsunagu xds log", *filter(None, options), "--after $mark"]))


def messages(proxy: str = "", type: str = "", *, programs: bool = False) -> Step:  # noqa: A002 - a type of xDS
    """Shows the messages of this scene where no command shows just these; of many names three. `programs`: those of gRPC's
    own clients alone.
    """

    def show(_: Stage, seen: Seen) -> Sequence[Shown]:
        found = [one for one in seen.all(type=type, proxy=proxy) if not programs or one.proxy.startswith("grpc/")]
        what = " ".join(filter(None, [type, "messages", f"of {proxy}" if proxy else ""]))
        return [Shown(f"({what})", "\n".join(line(one)[0] for one in found))]

    return show


def explain(proxy: str) -> Run:
    """The messages of this scene of one proxy, in sentences."""

    def since(seen: Seen) -> Mapping[str, str]:
        first = seen.events[0].time.ToDatetime(UTC)
        return {"since": first.isoformat(timespec="milliseconds").replace("+00:00", "Z")}

    return Run(f"tsunagu xds explain --proxy {proxy} --since $since", words=since)


def show(message: Callable[[Seen], TimelineEvent], keep: str = "") -> Run:
    """One message of this scene, whole, and what is different in it from the one before."""
    return Run("tsunagu xds show $message", keep=keep, words=lambda seen: {"message": str(message(seen).sequence)})


@dataclass(frozen=True, slots=True)
class File:
    """Writes a file into the lesson's folder, and shows it; with `lines`, so many of its first lines."""

    name: str
    text: str
    lines: int = 0

    def __call__(self, stage: Stage, seen: Seen) -> Sequence[Shown]:
        text = filled(self.text, _words(stage, seen)).strip("\n") + "\n"
        (stage.folder / self.name).write_text(text, encoding="utf-8")
        language = {"yaml": "yaml", "py": "python"}.get(self.name.rpartition(".")[2], "text")
        return [Shown(self.name, self._shown(text.splitlines()), language)]

    def _shown(self, lines: list[str]) -> str:
        more = len(lines) - self.lines if self.lines else 0
        return "\n".join([*lines[: self.lines], f"# ... and {more} lines more"] if more > 0 else lines)


@dataclass(frozen=True, slots=True)
class Until:
    """Waits for something that must be seen; shows nothing."""

    holds: Callable[[Seen], object]
    what: str
    seconds: float = 30.0

    def __call__(self, stage: Stage, seen: Seen) -> Sequence[Shown]:
        deadline = time.monotonic() + self.seconds
        while not self.holds(seen):
            if time.monotonic() > deadline:
                raise LessonFailed(f"{self.what}: not seen in {self.seconds:g} s; there are:\n{seen.story()}")
            time.sleep(_POLL)
        return []


@dataclass(frozen=True, slots=True)
class Watch:
    """Lets time go by, so that one sees what does not happen."""

    seconds: float

    def __call__(self, stage: Stage, seen: Seen) -> Sequence[Shown]:
        time.sleep(self.seconds)
        return [Shown(f"({self.seconds:g} s go by)")]


@dataclass(frozen=True, slots=True)
class Measure:
    """Keeps a value as `keep`, and shows it if it is told how."""

    keep: str
    value: Callable[[Any], Any]  # of the stage
    show: Callable[[Any], Sequence[Shown]] = field(default=lambda _: [])

    def __call__(self, stage: Stage, seen: Seen) -> Sequence[Shown]:
        seen.values[self.keep] = value = self.value(stage)
        return self.show(value)


@dataclass(frozen=True, slots=True)
class Do:
    """Does something to the stage that is shown by its own words, for what no command does. `anew`: the control plane that
    comes after it counts its messages from 1.
    """

    shown: str
    action: Callable[[Any], object]  # of the stage
    anew: bool = False

    def __call__(self, stage: Stage, seen: Seen) -> Sequence[Shown]:
        self.action(stage)
        if self.anew:
            seen.mark = 0
        return [Shown(f"({self.shown})")] if self.shown else []


@dataclass(frozen=True, slots=True)
class Under:
    """Does steps under load, and keeps its report as `keep`. The load goes on for `before` requests before the steps, and
    `after` more behind them.
    """

    keep: str
    steps: tuple[Step, ...]
    rps: float = 100.0
    connections: int = 4
    before: int = 20
    after: int = 20
    label: Callable[[Any], str] | None = None

    def __call__(self, stage: Stage, seen: Seen) -> Iterator[Shown]:
        yield Shown(f"(load begins: {self.rps:g} requests a second)")
        with stage.load(Plan(rps=self.rps, connections=self.connections, timeout=10.0, label=self.label)) as on:
            on.wait_requests(self.before)
            for step in self.steps:
                yield from step(stage, seen)
            on.wait_requests(self.after)
            report = on.stop()
        seen.values[self.keep] = report
        yield Shown(f"(load ends: {told(report)})")


def failed(report: Report) -> int:
    """The requests that failed at the mesh; those that this machine was too busy to send are no fault of it."""
    return report.failed - report.failures.get(NOT_SENT, 0)


def told(report: Report) -> str:
    """What came of a load, in words."""
    kinds = {kind: count for kind, count in report.failures.items() if kind != NOT_SENT}
    failures = ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))
    answers = ", ".join(f"{count} x {label}" for label, count in sorted(report.labels.items()))
    good = f"{report.succeeded} of {report.succeeded + failed(report)} requests were answered with success"
    return "; ".join(filter(None, [good, failures and f"failed: {failures}", answers and f"answered by: {answers}"]))


def _words(stage: Stage, seen: Seen) -> Mapping[str, str]:
    return {"mark": str(seen.mark), **stage.words()}
