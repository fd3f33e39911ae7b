"""`up --watch`: brings changed manifests into the mesh, and restarts the services whose Image's folder has changed.

The one rule: a change counts once the files have been still for a moment, and one that is wrong is shown and waited out: the
mesh goes on as it was.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tsunagu.cli.errors import CliError
from tsunagu.client import apply
from tsunagu.client.restart import restart
from tsunagu.client.source import retried
from tsunagu.client.wait_converged import Deadline, until_converged
from tsunagu.client.wait_steady import until_steady
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests.formats import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tsunagu.cli.local.request import Request
    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

_POLL_SECONDS: Final = 0.5
_MOST_FILES: Final = 20_000
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "venv"})  # and whatever begins with a dot

#: file -> (time of its last change in ns, size)
Snapshot = dict[Path, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed since the last time. `folders`: of Images, each with one of its files that changed."""

    manifests: tuple[Path, ...] = ()
    folders: tuple[tuple[Path, Path], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.manifests or self.folders)


@dataclass(frozen=True, slots=True)
class Watched:
    """The manifests of `paths`, as `read` has them: it reads and validates what is to run, and raises ManifestError, CliError.
    `before`: how they were when they were read first, so that a change is seen that was made while the mesh came up.
    """

    paths: Sequence[Path]
    read: Callable[[], Request]
    before: Snapshot


async def watch(link: Link, watched: Watched, notify: Callable[[str], None]) -> None:
    """Follow the files until cancelled."""
    paths = watched.paths
    known = {**await _snapshot(paths, await _folders(link)), **watched.before}
    notify("watching the manifests and the folders of Images")
    async with asyncio.TaskGroup() as group:
        steadying: asyncio.Task[None] | None = None
        while True:
            folders = await retried(lambda: _folders(link))
            found = await _still(paths, folders)
            change, known = compared(known, found, paths, folders), found
            if not change:
                continue
            if steadying is not None:
                steadying.cancel()
            try:
                done = await retried(partial(_carry_out, link, change, watched.read, notify))
            except (ManifestError, CliError) as error:
                notify(f"not applied:\n{error}")
            else:
                steadying = group.create_task(_steady(link, notify), name="steady again") if done else None


async def _folders(link: Link) -> list[Path]:
    images, _ = await link.registry.list("Image")
    return sorted({Path(one) for obj in images for one in (obj.image.working_directory, obj.image.build) if one})


async def _still(paths: Sequence[Path], folders: Sequence[Path]) -> Snapshot:
    """The files once two looks at them, a moment apart, are the same."""
    before = None
    while before != (before := await _snapshot(paths, folders)):  # noqa: ASYNC110 - nothing tells us of files
        await asyncio.sleep(_POLL_SECONDS)
    return before


async def _snapshot(paths: Sequence[Path], folders: Sequence[Path]) -> Snapshot:
    return await asyncio.to_thread(lambda: dict(_stamps([*manifest_files(paths), *files_of(folders)])))


def stamps(paths: Iterable[Path]) -> Snapshot:
    """How the manifests are now."""
    return dict(_stamps(manifest_files(paths)))


def manifest_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that are read as manifests."""
    for path in paths:
        if path.is_dir():
            yield from (file for file in path.iterdir() if file.suffix in SUFFIXES)
        elif str(path) != "-":
            yield path


def files_of(folders: Iterable[Path]) -> Iterator[Path]:
    """The files below the folders; of a huge tree, the first _MOST_FILES."""
    count = 0
    for folder in folders:
        for parent, inner, names in os.walk(folder):
            inner[:] = sorted(one for one in inner if one not in _SKIPPED and not one.startswith("."))
            for name in sorted(names):
                if count >= _MOST_FILES:
                    return
                count += 1
                yield Path(parent, name)


def _stamps(files: Iterable[Path]) -> Iterator[tuple[Path, tuple[int, int]]]:
    for file in files:
        try:
            found = file.stat()
        except OSError:  # it has just been taken away
            continue
        yield file.absolute(), (found.st_mtime_ns, found.st_size)


def compared(before: Snapshot, after: Snapshot, paths: Sequence[Path], folders: Iterable[Path]) -> Change:
    """What has changed; a folder that is new is no change, its services have just been started from it."""
    changed = [file for file in sorted({*before, *after}) if before.get(file) != after.get(file)]
    manifests = {file.absolute() for file in manifest_files(paths)}
    was_there = {parent for file in before for parent in file.parents}
    touched = [
        (folder, next((file for file in changed if folder in file.parents and file not in manifests), None))
        for folder in folders
        if folder in was_there
    ]
    return Change(
        tuple(file for file in changed if file in manifests or (file.suffix in SUFFIXES and file in before)),
        tuple((folder, file) for folder, file in touched if file is not None),
    )


async def _carry_out(link: Link, change: Change, read: Callable[[], Request], notify: Callable[[str], None]) -> bool:
    """Apply the manifests, and restart what runs from the folders; return whether anything was done."""
    done = False
    if change.manifests:
        notify(f"{_names(change.manifests)} changed")
        request = read()
        made = await apply.apply_documents(link, request.documents, request.secrets)
        for line in (*apply.summary(made), *apply.warnings(made, request.notes, quiet=request.quiet)):
            if not line.endswith("is as it should be"):
                notify(line)
        done = bool(made.changes)
    for folder, file in change.folders:
        for name in await _running_from(link, folder):
            notify(f"{file.relative_to(folder)} changed: service {name} is restarted")
            await restart(link, name)
            done = True
    return done


def _names(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files)


async def _running_from(link: Link, folder: Path) -> list[str]:
    services, _ = await link.registry.list("Service")
    revisions, _ = await link.registry.list("ServiceRevision")
    return services_in(folder, services, {obj.meta.name: obj for obj in revisions})


def services_in(folder: Path, services: Iterable[Object], revisions: Mapping[str, Object]) -> list[str]:
    """Names of the services of which a container runs in that folder."""
    found = []
    for service in services:
        revision = revisions.get(service.service.status.revision)
        definition = revision.service_revision.task_definition if revision else None
        containers = definition.container_definitions if definition else ()
        built = revision.service_revision.builds.values() if revision else ()
        if str(folder) in built or any(one.working_directory == str(folder) for one in containers):
            found.append(service.meta.name)
    return found


async def _steady(link: Link, notify: Callable[[str], None]) -> None:
    begun = time.monotonic()
    await until_steady(link, None, notify)
    await retried(lambda: until_converged(link, 0, Deadline(None), notify))
    notify(f"steady again after {time.monotonic() - begun:.1f} s")
