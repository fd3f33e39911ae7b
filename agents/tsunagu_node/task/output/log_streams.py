"""Finds the log of a task's proxy by the log group and stream that a service gives it, as CloudWatch would have it.

Rule: a stream is a link to the one log that the node agent keeps anyway, so nothing is written twice, and a stream ends when its
log is taken away. `HOME/awslogs/GROUP/PREFIX/envoy/TASK` is awslogs' own order: prefix, container, task.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tsunagu.v1 import objects_pb2

FOLDER: Final = "awslogs"
_CONTAINER: Final = "envoy"
_NOT_DOWNWARDS: Final = frozenset({"", ".", ".."})


def stream(home: Path, log: objects_pb2.ProxyLog, task_id: str) -> Path:
    """Return the place of a task's stream, which is always within the mesh's home."""
    words = (word for text in (log.group, log.stream_prefix) for word in text.split("/"))
    return home / FOLDER / Path(*_downwards(words), _CONTAINER, task_id)


def link(home: Path, log: objects_pb2.ProxyLog, task_id: str, file: Path) -> None:
    """Let the stream of a task lead to `file`, which may not be there yet. Raises OSError."""
    place = stream(home, log, task_id)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):  # of an adopted task
        place.symlink_to(os.path.relpath(file, place.parent))


def sweep(home: Path) -> None:
    """Take away the streams of logs that are gone, and the folders that are empty then."""
    for folder, _, files in os.walk(home / FOLDER, topdown=False):
        for place in (Path(folder, name) for name in files):
            if place.is_symlink() and not place.resolve().parent.exists():
                place.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            Path(folder).rmdir()


def _downwards(words: Iterable[str]) -> Iterable[str]:
    return (word for word in words if word not in _NOT_DOWNWARDS)
