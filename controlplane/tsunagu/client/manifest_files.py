"""Reads what the command line points at: manifests, directories of them, and files of secrets.

The one rule: a file that cannot be read is an Issue like a fault in it, with its name, before anything starts. A file in a
directory that is none of ours is passed over with a note; one that was named is an issue.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from tsunagu.model import envfile
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.manifests import formats
from tsunagu.v1 import external_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.model.manifests.formats import CommandLine, Document, Reading, Source

#: Bytes of one file; ten thousand services have seven million.
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")  # as PowerShell's `>` writes what AWS's command line prints
MOST_BYTES: Final = 64 * 1024 * 1024


def read_manifests(paths: Iterable[Path]) -> tuple[Document, ...]:
    """Reads every document of the files, and of the manifests in the directories. ``-`` is standard input.

    Raises ManifestError, also when there are paths but no document in any of them.
    """
    return read_all(paths).sound()


def read_all(paths: Iterable[Path], names: CommandLine | None = None) -> Reading:
    """Reads as `read_manifests` does, and returns the issues and notes of all files beside their documents."""
    sources: list[Source] = []
    issues: list[Issue] = []
    given = tuple(paths)
    for path in given:
        for file, chosen in _files(path, issues):
            try:
                sources.append(_source(file, chosen=chosen))
            except ManifestError as error:
                issues += error.issues
    with _uncollected():
        found = formats.read_all(sources, names)
    issues += found.issues
    for document in found.documents:
        if isinstance(document.message, external_pb2.External):
            issues += _with_authorities(document, document.message)
    if given and not found.documents and not issues:
        issues += [_empty(path, found.notes) for path in given]
        issues += [replace(one, message=one.message.removeprefix("passed over: ")) for one in found.notes]
    return replace(found, issues=tuple(issues))


def read_texts(folder: Path) -> dict[str, str]:
    """Reads every JSON and YAML file in a folder and those within it: path from the folder -> text.

    Raises ManifestError, also when there is none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix in formats.SUFFIXES and path.is_file())
    if not found:
        raise ManifestError([_unreadable(folder, f"holds no file of {', '.join(formats.SUFFIXES)}")])
    return {str(path.relative_to(folder)): _source(path).text for path in found}


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: the nodes of a file hold no cycles, and each look through them costs anew."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _empty(path: Path, notes: Iterable[Issue]) -> Issue:
    what = "holds no manifest, only these files:" if path.is_dir() and any(notes) else "holds no document"
    return _unreadable(path, what)


def _files(path: Path, issues: list[Issue]) -> Iterator[tuple[Path, bool]]:
    """(file, whether it was named) of each file that a path means."""
    try:
        found = _within(path) if path.is_dir() else None
    except OSError as error:
        issues.append(_unreadable(path, f"cannot be read: {error.strerror}"))
        return
    if found is None:
        yield path, True
    elif not found:
        issues.append(_unreadable(path, f"holds no manifest ({', '.join(formats.SUFFIXES)})"))
    else:
        yield from ((file, False) for file in found)


def _within(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in formats.SUFFIXES and file.is_file())


def _source(path: Path, *, chosen: bool = True) -> Source:
    try:
        if str(path) == "-":
            content = _limited(path, sys.stdin.buffer)
        else:
            with path.open("rb") as file:
                content = _limited(path, file)
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8")
    except OSError as error:
        raise ManifestError([_unreadable(path, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ManifestError([_unreadable(path, f"is no {error.encoding.upper()} text (byte {error.start})")]) from error
    return formats.Source(str(path), text, chosen)


def _limited(path: Path, file: IO[bytes]) -> bytes:
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ManifestError([_unreadable(path, f"is larger than {MOST_BYTES // 1024 // 1024} MiB, as no manifest is")])
    return content


def _with_authorities(document: Document, body: external_pb2.External) -> Iterator[Issue]:
    """Put the content of an External's caFile, which is relative to the manifest's folder, into it."""
    if not body.tls.ca_file or body.tls.ca_certificates:
        return
    path = Path(document.file).absolute().parent / body.tls.ca_file
    try:
        body.tls.ca_certificates = _source(path).text
    except ManifestError as error:
        yield document.locate(Issue("", 0, 0, "tls.caFile", f"{path}: {error.issues[0].message}"))


def _unreadable(path: Path, why: str) -> Issue:
    return Issue(str(path), 0, 0, "", why)


def read_secrets(path: Path | None) -> Mapping[str, str]:
    """Reads the values in an env file; empty without a path. Raises ManifestError."""
    return {} if path is None else envfile.read_env(_source(path))


def folders(documents: Iterable[Document]) -> Mapping[str, str]:
    """The absolute folder of each document's file."""
    files = {document.file for document in documents}
    return {file: str(Path(file).absolute().parent) for file in files}
