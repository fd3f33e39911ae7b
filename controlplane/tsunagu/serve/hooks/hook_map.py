"""Which command or URL of this machine stands for a Lambda function: the file `hooks.json` in the mesh's home.

The one rule: only the user of the machine says what is run here. Manifests and the registry name functions by ARN; what an ARN
leads to is written in this file alone (by hand, or by `tsunagu up --hook`), and a file that others could write is not used. It
is read anew for each call, so a change counts from the next call on.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class BadHook(ValueError):
    """A mapping that cannot be used; the message says why, and what would be right."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments, run without a shell in that directory."""

    command: tuple[str, ...]
    directory: str

    def __str__(self) -> str:
        return shlex.join(self.command)


@dataclass(frozen=True, slots=True)
class Url:
    """An http:// URL to which the event is posted."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    @property
    def target(self) -> str:
        """The path with its query."""
        parts = urlsplit(self.url)
        return f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"


Target: TypeAlias = Command | Url


def parse(text: str, directory: str) -> tuple[str, Target]:
    """Return the ARN and the target of `ARN=COMMAND|URL`. `directory`: where the command is to run. Raises BadHook."""
    arn, equals, words = text.partition("=")
    if not equals or not arn.startswith("arn:"):
        raise BadHook(
            f"{text!r} is not ARN=COMMAND or ARN=URL, as in arn:aws:lambda:eu-west-1:1:function:check=./check.sh"
        )
    if "://" in words.split(" ", maxsplit=1)[0]:
        return arn, _url(words)
    try:
        command = tuple(shlex.split(words))
    except ValueError as error:
        raise BadHook(f"the command of {arn} cannot be read: {error}") from error
    return arn, _command(command, directory)


def word(arn: str, target: Target) -> str:
    """Return one word of a command line, from which `read_word` makes the same again."""
    return json.dumps([arn, asdict(target)])


def read_word(text: str) -> tuple[str, Target]:
    """Undo `word`. Raises BadHook."""
    arn, written = json.loads(text)
    return arn, _target(arn, written)


def _url(text: str) -> Url:
    try:
        parts = urlsplit(text)
        usable = parts.scheme == "http" and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise BadHook(f"{text!r} is no http:// URL; for another one map a command that calls it, e.g. curl")
    return Url(text)


def _command(words: tuple[str, ...], directory: str) -> Command:
    if not words or not words[0]:
        raise BadHook("the command is empty")
    if not os.path.isabs(directory):  # noqa: PTH117 - a text, whose file need not be there
        raise BadHook(f"directory {directory!r} is not absolute")
    return Command(words, directory)


def find(path: Path, arn: str) -> Target:
    """Return what that function stands for. Raises BadHook, also when nothing is mapped to it."""
    found = load(path).get(arn)
    if found is None:
        raise BadHook(
            f"nothing is mapped to {arn}: give `--hook {arn}=COMMAND` (or a URL) to `tsunagu up`, or add it to {path}"
        )
    return found


def load(path: Path) -> dict[str, Target]:
    """Return what the file maps; nothing when it is not there. Raises BadHook."""
    try:
        with path.open("rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            written = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadHook(f"{path} cannot be read: {error}") from error
    if not isinstance(written, dict):
        raise BadHook(f"{path} is no JSON object of ARNs")
    try:
        return {arn: _target(arn, value) for arn, value in written.items()}
    except BadHook as error:
        raise BadHook(f"{path}: {error}") from error


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
        raise BadHook(f"{path} is not used, since others could write it; make it yours: chmod 600 {path}")


def _target(arn: str, written: Any) -> Target:
    match written:
        case {"url": str(url)}:
            return _url(url)
        case {"command": [*words], "directory": str(directory)} if all(isinstance(word, str) for word in words):
            return _command(tuple(words), directory)
        case _:
            raise BadHook(f'{arn} is neither {{"url": ...}} nor {{"command": [...], "directory": ...}}')


def save(path: Path, added: Iterable[tuple[str, Target]]) -> None:
    """Add to what the file maps. Raises BadHook when what is there cannot be read."""
    known: Mapping[str, Target] = {**load(path), **dict(added)}
    text = json.dumps({arn: asdict(target) for arn, target in sorted(known.items())}, indent=2)
    written = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{text}\n")
    written.replace(path)
