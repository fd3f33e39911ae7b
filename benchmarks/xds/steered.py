"""A server process of ours, steered by the harness: one JSON object per line in, one out (as peers/lines does it)."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

GARBAGE_COLLECTION = (10_000, 20, 20)  # as app.py has it
LINE_LIMIT = 1 << 24  # bytes of one command


async def steer(handlers: Mapping[str, Handler]) -> None:
    """Carry out commands until the input ends."""
    known = {"usage": _usage, "settle": _settle, **handlers}
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        try:
            answer = await known[command.pop("do")](command)
        except (LookupError, ValueError, OSError) as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


async def _usage(_command: dict[str, Any]) -> dict[str, Any]:
    """CPU in seconds and resident memory in bytes of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"cpu": used.ru_utime + used.ru_stime, "rss": pages * os.sysconf("SC_PAGE_SIZE")}


async def _settle(_command: dict[str, Any]) -> dict[str, Any]:
    """Give back what is garbage."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return {}
