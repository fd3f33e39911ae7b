"""Raises this process's limit of open files, and returns freed memory to the system.

The one rule: only the module that composes a process calls these; where the system lacks such a call, nothing happens.
"""

from __future__ import annotations

import ctypes
import resource

#: More descriptors than any of our processes needs; used where the hard limit is "unlimited".
ENOUGH = 1 << 20


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
