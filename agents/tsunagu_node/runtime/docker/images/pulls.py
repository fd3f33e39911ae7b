"""Pulls the images of a task definition, as the settings say when: once for all tasks that want one at the same time."""

import asyncio
from collections.abc import Mapping
from typing import Final

from tsunagu.kit.log import get
from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.engine import errors
from tsunagu_node.runtime.docker.engine.engine import Engine, EngineError
from tsunagu_node.runtime.docker.images import credentials, images, references
from tsunagu_node.runtime.docker.images.progress import Progress
from tsunagu_node.runtime.docker.settings import Pull

_SECONDS: Final = 1800.0
_TOLD_EVERY: Final = 2.0
log = get("node.images")


class Pulls:
    """The images of all tasks. `states`: image that is pulled now -> how far, for people. `_locks`: an image is pulled by one task
    at a time. `environment`: where credentials are.
    """

    def __init__(self, engine: Engine, pull: Pull, environment: Mapping[str, str]) -> None:
        self._engine = engine
        self._pull = pull
        self._environment = environment
        self.states: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def ensure(self, definition: ecs_pb2.RegisterTaskDefinitionRequest) -> None:
        """Have every image of the definition here. Raises RuntimeFailed with the ways to have it."""
        for container in definition.container_definitions:
            async with self._locks.setdefault(container.image, asyncio.Lock()):
                await self._ensure(container)

    async def _ensure(self, container: ecs_pb2.ContainerDefinition) -> None:
        reference = container.image
        if self._pull is not Pull.ALWAYS and await images.exists(self._engine, reference):
            return
        if self._pull is Pull.NEVER:
            raise RuntimeFailed(f"CannotPullContainerError: {errors.ways_to_an_image(reference)}")
        self.states[reference] = f"image {reference} is pulled"
        try:
            await self._pulled(reference)
        except RuntimeFailed as error:
            if (
                self._pull is Pull.ALWAYS
                and isinstance(error, EngineError)
                and await images.exists(self._engine, reference)
            ):
                log.warning("image is not pulled, the one that is here is used", image=reference, reason=str(error))
                return
            why = credentials.advice(container) or errors.ways_to_an_image(reference)
            raise RuntimeFailed(f"CannotPullContainerError: {reference}: {errors.plain(str(error))}; {why}") from error
        finally:
            del self.states[reference]

    async def _pulled(self, reference: str) -> None:
        name, tag = references.parts(reference)
        headers = await asyncio.to_thread(credentials.headers, references.registry(reference), self._environment)
        query = {"fromImage": name, "tag": tag}
        progress, loop = Progress(), asyncio.get_running_loop()
        log.info("image is pulled", image=reference)
        told, rest = loop.time(), b""
        async with (
            asyncio.timeout(_SECONDS),
            self._engine.stream("POST", "/images/create", query, None, headers) as answer,
        ):
            async for piece in answer.pieces():
                *lines, rest = (rest + piece).split(b"\n")
                progress.learn(lines)
                if loop.time() - told >= _TOLD_EVERY:
                    told = loop.time()
                    self.states[reference] = f"image {reference} is pulled: {progress}"
                    log.info("image is pulled", image=reference, progress=str(progress))
        progress.learn([rest])
        if progress.error:
            raise EngineError(0, progress.error)
