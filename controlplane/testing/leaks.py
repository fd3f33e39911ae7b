"""What a mesh may not leave behind: a process, a mount, a network namespace, a socket.

Rule: found by looking at the machine, not by asking the mesh. Namespaces live by their processes and by mounts, so when
neither is left of those that the mesh had, nothing of it is.
"""

import os
import stat
from pathlib import Path

from controlplane.testing.processes import Process, of_home, survivors


def left_behind(home: Path, known: set[Process], namespaces: set[str]) -> list[str]:
    """One line for each thing that is left of the mesh in `home`, of its `known` processes and network `namespaces`."""
    processes = {*survivors(known), *of_home(home).everything}
    return [
        *(f"process {process}" for process in sorted(processes, key=lambda process: process.pid)),
        *(f"mount {place}" for place in _mounts(home)),
        *(f"socket {path}" for path in _sockets(home)),
        *(f"network namespace {name}" for name in sorted(namespaces & network_namespaces())),
    ]


def network_namespaces(pids: set[int] | None = None) -> set[str]:
    """Names (net:[inode]) of the network namespaces of the processes `pids`, or of all; without our own."""
    chosen = (
        pids if pids is not None else {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    )
    return {name for pid in chosen if (name := _namespace(pid))} - {_namespace(os.getpid())}


def _namespace(pid: int) -> str:
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
        for name in names:
            path = Path(folder, name)
            if stat.S_ISSOCK(path.lstat().st_mode):
                found.append(str(path))
    return sorted(found)
