"""Reads what the command line points at: manifests, directories of them, and files of secrets.

The one rule: a file that cannot be read is an Issue like a fault in it, with its name, before anything starts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsunagu.model import envfile
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.manifests import formats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.model.manifests.formats import Document


def read_manifests(paths: Iterable[Path]) -> tuple[Document, ...]:
    """Reads every document of the files, and of the manifests in the directories. ``-`` is standard input.

    Raises ManifestError, also when there are paths but no document in any of them.
    """
    given = tuple(paths)
    documents = formats.read(_source(path) for path in _files(given))
    if given and not documents:
        raise ManifestError([_unreadable(path, "holds no document") for path in given])
    return documents


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            found = _within(path) if path.is_dir() else None
        except OSError as error:
            raise ManifestError([_unreadable(path, f"cannot be read: {error.strerror}")]) from error
        if found is None:
            yield path
            continue
        if not found:
            raise ManifestError([_unreadable(path, f"holds no manifest ({', '.join(formats.SUFFIXES)})")])
        yield from found


def _within(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in formats.SUFFIXES and file.is_file())


def _source(path: Path) -> formats.Source:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError([_unreadable(path, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ManifestError([_unreadable(path, f"is no UTF-8 text (byte {error.start})")]) from error
    return formats.Source(str(path), text)


def _unreadable(path: Path, why: str) -> Issue:
    return Issue(str(path), 0, 0, "", why)


def read_secrets(path: Path | None) -> Mapping[str, str]:
    """Reads the values in an env file; empty without a path. Raises ManifestError."""
    return {} if path is None else envfile.read_env(_source(path))


def folders(documents: Iterable[Document]) -> Mapping[str, str]:
    """The absolute folder of each document's file."""
    return {document.file: str(Path(document.file).absolute().parent) for document in documents}
