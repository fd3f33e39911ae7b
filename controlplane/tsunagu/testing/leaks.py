"""What a mesh may not leave behind: a process, a mount, a network namespace, a socket.

Rule: found by looking at the machine, not by asking the mesh. A namespace lives by its processes and by mounts. Its number
is given to the next one at once, so a process in a namespace of that number counts only when it began before the
number was last seen to be the mesh's; who began later is in another one.
"""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from tsunagu.testing.processes import Process, everyone, of_home, survivors


def ticks() -> int:
    """The present time in the unit of `Process.begun`."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def left_behind(home: Path, known: set[Process], namespaces: set[str], looked: int) -> list[str]:
    """One line for each thing that is left of the mesh in `home`, which had the `known` processes, and at the time
    `looked` (ticks) the network `namespaces`.
    """
    processes = {*survivors(known), *of_home(home).everything}
    pids = {process.pid for process in processes}
    strangers = [process for process in everyone() if process.begun < looked and process.pid not in pids]
    return [
        *(f"process {process}" for process in sorted(processes, key=lambda process: process.pid)),
        *(f"mount {place}" for place in _mounts(home)),
        *(f"socket {path}" for path in _sockets(home)),
        *(f"network namespace of process {one}" for one in strangers if namespace_of(one.pid) in namespaces),
    ]


def network_namespaces(pids: set[int]) -> set[str]:
    """Names (net:[inode]) of the network namespaces of the processes `pids`, without our own."""
    return {name for pid in pids if (name := namespace_of(pid))} - {namespace_of(os.getpid())}


def namespace_of(pid: int) -> str:
    """The network namespace of a process; empty when it is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def _mounts(home: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [line.split()[4] for line in lines]
    return [place for place in places if place == str(home) or place.startswith(f"{home}/")]


def _sockets(home: Path) -> list[str]:
    found = []
    for folder, _, names in os.walk(home):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):  # a mesh that ends takes its files away
                if stat.S_ISSOCK(path.lstat().st_mode):
                    found.append(str(path))
    return sorted(found)
