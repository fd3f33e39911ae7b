"""The images that tasks need: the sidecar's, made here when it is missing, and those of task definitions, pulled.

Rule: nothing asks a registry but `pull`, and that only as the settings allow it: an engine that is asked to run an image which it
does not have would ask the public registry.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu_node.runtime.docker.engine.engine import Engine, EngineError
from tsunagu_node.runtime.docker.images.machine_image import Contents, sidecar

SIDECAR: Final = "tsunagu-sidecar"
_NOT_FOUND: Final = 404
_IMPORT_SECONDS: Final = 300.0
_KEPT_SECONDS: Final = 7 * 86400.0
log = get("node.images")


async def exists(engine: Engine, reference: str) -> bool:
    """Return whether the engine has the image."""
    try:
        await engine.call("GET", f"/images/{reference}/json")
    except EngineError as error:
        if error.status == _NOT_FOUND:
            return False
        raise
    return True


async def own(engine: Engine, envoy: Path) -> str:
    """Return the reference of the image that is made of this machine's files; make it when it is missing. Raises RuntimeFailed."""
    contents = await asyncio.to_thread(sidecar, envoy)
    reference = f"{SIDECAR}:{await asyncio.to_thread(contents.fingerprint)}"
    if not await exists(engine, reference):
        log.info("the sidecar's image is made", image=reference)
        await load(engine, reference, contents)
        await _remove_older(engine, reference)
    return reference


async def load(engine: Engine, reference: str, contents: Contents) -> None:
    """Make an image of `contents`. Raises EngineError, EngineGone."""
    name, _, tag = reference.partition(":")
    query = {"fromSrc": "-", "repo": name, "tag": tag}
    headers = {"content-type": "application/x-tar"}
    async with (
        asyncio.timeout(_IMPORT_SECONDS),
        engine.stream("POST", "/images/create", query, _pieces(contents), headers) as answer,
    ):
        raise_error(await answer.body())


def raise_error(progress: bytes) -> None:
    """Raise the error that a stream of progress messages holds: EngineError; an engine has said 200 by then."""
    for message in messages(progress):
        if "error" in message:
            raise EngineError(0, str(message["error"]))


def messages(progress: bytes) -> Iterator[dict[str, Any]]:
    for line in progress.splitlines():
        with suppress(ValueError):
            yield json.loads(line)


async def _remove_older(engine: Engine, reference: str) -> None:
    """Remove our images that no container uses. One of these days may be another mesh's, of another version of tsunagu."""
    found = await engine.call("GET", "/images/json", {"filters": {"reference": [f"{SIDECAR}:*"]}})
    old = [one for one in found if one["Created"] < time.time() - _KEPT_SECONDS]
    for tag in (tag for one in old for tag in one.get("RepoTags") or () if tag.rpartition("/")[2] != reference):
        with suppress(EngineError):  # it is used
            await engine.call("DELETE", f"/images/{tag}")


async def _pieces(contents: Contents) -> AsyncIterator[bytes]:
    """Yield the archive; read in a thread, since it is long."""
    pieces = contents.tar()
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
