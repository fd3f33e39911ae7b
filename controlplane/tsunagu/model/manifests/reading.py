"""What reading files gives: documents, the issues that keep them from being applied, and notes that do not.

The one rule: reading never stops at the first fault, so that one report can name the faults of all files, of types and of
references alike. ``Reading.sound`` is for those who only want documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tsunagu.model.errors import Issue, ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Source:
    """A text to be read, and what to call it in errors (a file's name)."""

    name: str
    text: str
    chosen: bool = True  # named by the user; False: found in a folder, and passed over if it is none of ours


class Place(NamedTuple):
    """Where something is in a text; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """One object that a user asks for."""

    kind: str
    name: str  # of the object; a TaskDefinition's is its family, a Service's CLUSTER/SERVICE
    message: Message  # of that kind, e.g. objects_pb2.Service
    file: str
    places: Mapping[str, Place]  # path of a field -> where it is in the file; "" is the document itself
    ignored: tuple[str, ...] = ()  # paths of fields that only AWS's output has
    revision: int = 0  # of a described task definition: AWS's number; else 0
    empty: tuple[str, ...] = ()  # paths of fields that say nothing (null), read as absent
    unknown: tuple[str, ...] = ()  # paths of fields of AWS's output that nobody knows here
    faults: tuple[str, ...] = ()  # paths of fields that could not be decoded
    named_outside: bool = False  # its name is not its file's, but the command line's
    unrendered: tuple[tuple[str, str], ...] = ()  # (path, sign) of texts in which a template language has left signs

    def locate(self, issue: Issue) -> Issue:
        """Return the issue with the place of its field, or of the innermost message around it that is in the file."""
        path = issue.path
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        at = self.places.get(path, Place(1, 1))
        return issue.at(self.file, at.line, at.column)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What the command line adds to the files."""

    service: str = ""  # the name of the one service whose file has none
    cluster: str = ""  # of services whose files name none
    sets: tuple[str, ...] = ()  # SERVICE/NAME=VALUE: see ``overrides``


@dataclass(frozen=True, slots=True)
class Reading:
    """The outcome of reading some texts."""

    documents: tuple[Document, ...] = ()
    issues: tuple[Issue, ...] = ()
    notes: tuple[Issue, ...] = ()  # about files that gave no document, and about what an answer says

    def sound(self) -> tuple[Document, ...]:
        """Return the documents. Raises ManifestError if there is an issue."""
        if self.issues:
            raise ManifestError(self.issues)
        return self.documents
