"""Builds the images that an Image gives a folder for (`build: ./dir`), before the tasks that run them.

Rule: Docker's own command builds, since it knows what the engine's API leaves to clients: .dockerignore, BuildKit, credentials.
A folder is built again when a file in it has changed; tasks that want the same image wait for one build.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.engine.engine import Engine
from tsunagu_node.runtime.docker.images import images

_COMMAND: Final = "DOCKER"
"""The variable that names another command than `docker`, for instance podman."""
_SECONDS: Final = 1800.0
_LAST_LINES: Final = 5
_MOST_FILES: Final = 100_000
log = get("node.images")
Stamps = tuple[tuple[str, int, int], ...]


class Builds:
    """The images of all tasks. `states`: image that is built now -> what is done, for people. `_built`: reference -> what the folder
    had when it was last built.

    `socket`: of the engine. `environment`: that of the user, for Docker's command.
    """

    def __init__(self, engine: Engine, socket: str, environment: Mapping[str, str]) -> None:
        self._engine = engine
        self._environment = {**environment, "DOCKER_HOST": f"unix://{socket}"}
        self.states: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._built: dict[str, Stamps] = {}

    async def ensure(self, builds: Mapping[str, str]) -> None:
        """Have each image (reference -> absolute folder) as its folder is now. Raises RuntimeFailed with what the build said."""
        for reference, folder in sorted(builds.items()):
            async with self._locks.setdefault(reference, asyncio.Lock()):
                await self._ensure(reference, Path(folder))

    async def _ensure(self, reference: str, folder: Path) -> None:
        if not folder.is_dir():
            raise RuntimeFailed(f"CannotPullContainerError: there is no folder {folder} to build {reference} of")
        stamps = await asyncio.to_thread(stamped, folder)
        if self._built.get(reference) == stamps and await images.exists(self._engine, reference):
            return
        log.info("image is built", image=reference, folder=str(folder))
        self.states[reference] = f"image {reference} is built of {folder}"
        try:
            await self._run(
                [self._environment.get(_COMMAND, "docker"), "build", "--tag", reference, str(folder)], folder
            )
        finally:
            del self.states[reference]
        self._built[reference] = stamps

    async def _run(self, command: list[str], folder: Path) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environment,
            )
        except OSError as error:
            what = f"{command[0]} cannot be started: {error.strerror}"
            raise RuntimeFailed(
                f"CannotPullContainerError: {folder} is not built: {what}; build it by hand, and name it with `image`"
            ) from error
        try:
            async with asyncio.timeout(_SECONDS):
                output, _ = await process.communicate()
        except BaseException as error:
            process.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                raise RuntimeFailed(
                    f"CannotPullContainerError: the build of {folder} took over {_SECONDS:g} s"
                ) from error
            raise
        if process.returncode:
            lines = output.decode(errors="replace").split("\n")
            last = " | ".join([line.strip() for line in lines if line.strip()][-_LAST_LINES:])
            raise RuntimeFailed(f"CannotPullContainerError: {folder} cannot be built: {last}")


def stamped(folder: Path) -> Stamps:
    """Return (path, time of the last change in ns, size) of each file below the folder; of a huge tree, of the first of them."""
    found: list[tuple[str, int, int]] = []
    for parent, inner, names in os.walk(folder):
        inner.sort()
        for path in (os.path.join(parent, name) for name in sorted(names)):  # noqa: PTH118 - pathlib is slow for many
            if len(found) >= _MOST_FILES:
                return tuple(found)
            try:
                stat = os.lstat(path)
            except OSError:  # it has just been taken away
                continue
            found.append((path, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
