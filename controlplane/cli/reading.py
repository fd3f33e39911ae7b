"""Reads what the command line points at: manifests, directories of them, and files of secrets.

The one rule: a file that cannot be read is told like a fault in it, with its name, before anything starts.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from controlplane.model import manifests
from controlplane.model.errors import Issue, ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from controlplane.model.manifests import Document


def read_manifests(paths: Iterable[Path]) -> tuple[Document, ...]:
    """Every document of the files, and of the manifests that stand in the directories. ``-`` is standard input.

    Raises ManifestError.
    """
    return manifests.read(_source(path) for path in _files(paths))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.iterdir() if file.suffix in manifests.SUFFIXES and file.is_file())
        if not found:
            raise ManifestError([_unreadable(path, f"holds no manifest ({', '.join(manifests.SUFFIXES)})")])
        yield from found


def _source(path: Path) -> manifests.Source:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError([_unreadable(path, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ManifestError([_unreadable(path, f"is no UTF-8 text (byte {error.start})")]) from error
    return manifests.Source(str(path), text)


def _unreadable(path: Path, why: str) -> Issue:
    return Issue(str(path), 0, 0, "", why)


def read_secrets(path: Path | None) -> Mapping[str, str]:
    """The NAME=VALUE lines of an env file: empty lines and those that begin with # say nothing.

    NAME may be anything without ``=``, as in `valueFrom`. Raises ManifestError.
    """
    if path is None:
        return {}
    secrets: dict[str, str] = {}
    for number, line in enumerate(_source(path).text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            # Its text is not repeated: it may be a secret.
            raise ManifestError([Issue(str(path), number, 1, "", "this line is not NAME=VALUE")])
        secrets[name.strip()] = _unquoted(value.strip())
    return secrets


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
