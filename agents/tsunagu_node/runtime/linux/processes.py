"""Processes known by a pid and the time at which they began, since pids are used again.

Rule: standard library only, quick to import.
"""

import os
import select
import signal
import sys
from typing import Final

_BOOT: Final = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {module} import main; main(sys.argv[1:])"
#: The folder that holds the package `tsunagu_node`. (pathlib is slow to import.)
_ROOT: Final = os.path.abspath(__file__).removesuffix("/".join(("", *__name__.split("."))) + ".py")  # noqa: PTH100


def python(module: str, *arguments: str) -> list[str]:
    """Return a command that runs `main(arguments)` of `module` without site-packages, so that it starts in some 10 ms."""
    return [sys.executable, "-I", "-S", "-c", _BOOT.format(module=module), _ROOT, *arguments]


def begun(pid: int) -> int:
    """Return when process `pid` began, in clock ticks since boot; 0 when there is none, or only a zombie."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return 0
    try:
        # The name in parentheses may hold anything, so fields are counted from its end.
        fields = os.read(fd, 4096).rpartition(b")")[2].split()
    except ProcessLookupError:
        return 0
    finally:
        os.close(fd)
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def same(pid: int, since: int) -> bool:
    """Return whether process `pid` is alive and is the one that began at `since`."""
    return since != 0 and begun(pid) == since


def kill(pid: int, since: int, timeout: float) -> None:
    """Kill (SIGKILL) the process `pid` that began at `since` and wait until it is gone, at most `timeout` seconds."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if same(pid, since):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            select.select([fd], [], [], timeout)
    except ProcessLookupError:
        return
    finally:
        os.close(fd)
