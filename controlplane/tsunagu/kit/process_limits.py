"""Raises this process's limit of open files, and returns freed memory to the system.

The one rule: only the module that composes a process calls these; where the system lacks such a call, nothing happens.
"""

from __future__ import annotations

import asyncio
import ctypes
import resource
from pathlib import Path
from typing import Final

#: More descriptors than any of our processes needs; used where the hard limit is "unlimited".
ENOUGH: Final = 1 << 20
RETURN_EVERY: Final = 30.0  # s
RETURN_STEP: Final = 32 << 20  # bytes
_STATM: Final = Path("/proc/self/statm")


def raise_descriptors() -> int:
    """Raise the soft limit of open files to the hard one, and return the limit. A shell's soft limit is often only 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, ENOUGH) if hard != resource.RLIM_INFINITY else ENOUGH
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # macOS: the kernel's own maximum is lower than the hard limit says
            return soft
        return wanted
    return ENOUGH if soft == resource.RLIM_INFINITY else soft


def return_memory() -> None:
    """Return freed memory to the system.

    glibc keeps free memory that lies between blocks in use: hundreds of megabytes after a few large messages. Takes some
    milliseconds; other threads may run meanwhile.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def keep_returning_memory(every: float = RETURN_EVERY, step: int = RETURN_STEP) -> None:
    """Give freed memory back whenever this process has grown by `step` bytes, looked at each `every` seconds. What it still
    needs stays, and is the mark for the next time.
    """
    mark = resident_bytes()
    while mark:
        await asyncio.sleep(every)
        if resident_bytes() > mark + step:
            await asyncio.to_thread(return_memory)
            mark = resident_bytes()
        mark = min(mark, resident_bytes())


def resident_bytes() -> int:
    """The memory that this process has in use; 0 where the system does not say."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:  # no Linux
        return 0
    return pages * resource.getpagesize()
