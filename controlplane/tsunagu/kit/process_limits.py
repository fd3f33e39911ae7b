"""What this process may take of the machine, and what it gives back.

Rule: both are asked of the operating system once, by whoever composes the process; a system that has no such thing is
left as it is.
"""

from __future__ import annotations

import ctypes
import resource

#: More descriptors than any of our processes has use for; where "unlimited" is the hard limit, this is taken.
ENOUGH = 1 << 20


def raise_descriptors() -> int:
    """Raise the soft limit of open files to the hard one; returns how many this process may have open. A shell gives 1024
    and allows many more.
    """
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
    """Give freed memory back to the system. glibc keeps what lies between pieces that are in use: after a few large
    messages hundreds of megabytes. Takes milliseconds; other threads may run meanwhile.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
