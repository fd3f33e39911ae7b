"""A timeline in a file: what `tsunagu xds log --record` writes and `tsunagu xds replay` reads.

JSON lines: a header with the format's version, one event a line as `tsunagu xds log -o json` prints it, and a last line
with their number, so that a file that was cut off is known as one. The one rule: it can be given to anybody. It holds
names, versions, causes and the words of refusals, no body of a resource, and nothing that looks like a token or a key.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from google.protobuf import json_format

from tsunagu.cli.errors import FAILED, CliError
from tsunagu.kit.tokens import TOKEN
from tsunagu.kit.version import __version__
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_SHIPPED = Path(__file__).parents[1] / "lessons" / "recordings"
FORMAT = "tsunagu.xds.timeline"
VERSION = 1
_WRITER = "'tsunagu xds log --record FILE' writes them"
#: What may stand in the words of a refusal, for some clients repeat in them what they were sent.
_SECRETS = re.compile(
    rf"{TOKEN.pattern}|(?<=bearer )\S+|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.IGNORECASE | re.DOTALL,
)


class RecordingError(CliError):
    """A file that is no recording, or only a part of one; the message says where."""

    def __init__(self, message: str, right: str = "") -> None:
        super().__init__(message, FAILED, right)


class Recorder:
    """Writes a recording, for a `with` block. Raises RecordingError when the file exists."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._count = 0

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("x", encoding="utf-8", buffering=1)
        except FileExistsError as error:
            raise RecordingError(f"{self._path} exists already", "take another name, or remove it") from error
        recorded = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({"format": FORMAT, "version": VERSION, "by": _program(), "recorded": recorded})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._write({"end": self._count})
        self._file.close()

    def write(self, event: inspector_pb2.TimelineEvent) -> None:
        """One event more."""
        self._count += 1
        self._write(redacted(json_format.MessageToDict(event)))

    def _write(self, line: Any) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


def redacted(value: Any) -> Any:
    """A JSON value without secrets in its strings."""
    if isinstance(value, str):
        return _SECRETS.sub("[redacted]", value)
    if isinstance(value, list):
        return [redacted(one) for one in value]
    if isinstance(value, dict):
        return {name: redacted(one) for name, one in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Header:
    """Who wrote a recording, and when."""

    by: str
    recorded: str


def found(file: Path) -> Path:
    """The file; if there is none, the recording of that name that comes with the lessons."""
    shipped = _SHIPPED / f"{file}.jsonl"
    return shipped if file.name == str(file) and not file.exists() and shipped.exists() else file


class Recording:
    """A file to read. Iterate for its events, oldest first, as often as wanted.

    Raises RecordingError: at once for a file of another kind, while iterating where it is damaged or cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self.header = self._header(file.readline())

    def __iter__(self) -> Iterator[inspector_pb2.TimelineEvent]:
        count, end = 0, None
        with self._path.open("rb") as file:
            next(file)
            for number, raw in enumerate(file, 2):
                line = self._parse(number, raw)
                if end is not None:
                    raise self._damaged(number, "something follows the last line")
                if "end" in line:
                    end = line["end"]
                    continue
                yield self._event(number, line)
                count += 1
        if end is None:
            raise self._cut_off(count)
        if end != count:
            raise RecordingError(f"{self._path} has lost lines: it was written with {end} events and has {count}")

    def _header(self, raw: bytes) -> Header:
        line = _decoded(raw)
        if not isinstance(line, dict) or line.get("format") != FORMAT:
            what = "is empty" if not raw else "is no recording of a timeline"
            raise RecordingError(f"{self._path} {what}", _WRITER)
        if line.get("version") != VERSION:
            raise RecordingError(
                f"{self._path} is a recording of version {line.get('version')}; {_program()} reads version {VERSION}",
                f"it was written by {line.get('by')}",
            )
        return Header(str(line.get("by", "")), str(line.get("recorded", "")))

    def _parse(self, number: int, raw: bytes) -> dict[str, Any]:
        line = _decoded(raw)
        if isinstance(line, dict):
            return line
        raise self._damaged(number, "not a JSON object") if raw.endswith(b"\n") else self._cut_off(number - 2)

    def _event(self, number: int, line: dict[str, Any]) -> inspector_pb2.TimelineEvent:
        try:
            return json_format.ParseDict(line, inspector_pb2.TimelineEvent(), ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise self._damaged(number, f"not an event: {error}") from error

    def _damaged(self, number: int, why: str) -> RecordingError:
        return RecordingError(f"{self._path}:{number}: {why}")

    def _cut_off(self, count: int) -> RecordingError:
        return RecordingError(
            f"{self._path} is cut off after {count} events: its last line is missing",
            "whoever recorded it was killed, or the disk was full",
        )


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:  # of bytes that are no text as well
        return None


def _program() -> str:
    return f"tsunagu {__version__}"
