"""Reading and writing file descriptors from the event loop: pipes and terminals, whose other end may be slow.

Rule: the descriptor does not block (O_NONBLOCK), and nothing is read that the caller has not asked for.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final

PIECE: Final = 32768


async def read(fd: int) -> bytes:
    """Return the next piece, empty at the end; the end of a terminal is that its other side is closed."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, PIECE)
        except BlockingIOError:
            await _ready(fd, loop.add_reader, loop.remove_reader)
        except OSError:
            return b""  # EIO: the terminal's other side is closed


async def write(fd: int, piece: bytes) -> None:
    """Write all of it, as fast as the other end takes it. Raises OSError when nobody reads any more."""
    loop = asyncio.get_running_loop()
    while piece:
        try:
            piece = piece[os.write(fd, piece) :]
        except BlockingIOError:
            await _ready(fd, loop.add_writer, loop.remove_writer)


async def _ready(fd: int, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)
