"""What one container of a task uses of the machine, read from /proc, in the shape that Docker's API gives to it.

A container is no cgroup here. Its processes are those in the user namespace of its first process, and their children:
`init.spawn` gives each container such a namespace. Rule: only the kernel's counters, nothing inferred; what the kernel does
not count for a process (page cache, a limit) is not there. Memory is the sum of resident sets, so pages that processes share
count for each. Blocking calls, to be made in a worker thread.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_NANOSECONDS: Final = 1_000_000_000
_COUNTERS: Final = ("bytes", "packets", "errors", "dropped")


@dataclass(frozen=True, slots=True)
class _Process:
    """A row of /proc: processor time in clock ticks (that of its dead children included), memory in pages."""

    pid: int
    parent: int
    user: int
    system: int
    threads: int
    pages: int


def stats(proc: Path, first: int, name: str) -> Mapping[str, Any] | None:
    """Return the stats of the container whose first process is `first`; None when there is no such process.

    `proc`: the /proc of the task's pid namespace, in which `first` is a pid.
    """
    members = list(_members(proc, first))
    if not members:
        return None
    user, system = (sum(getattr(one, what) for one in members) for what in ("user", "system"))
    return {
        "name": name,
        "read": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "num_procs": 0,  # of Windows
        "pids_stats": {"current": sum(one.threads for one in members)},
        "cpu_stats": {
            "cpu_usage": {
                "total_usage": _nanoseconds(user + system),
                "usage_in_usermode": _nanoseconds(user),
                "usage_in_kernelmode": _nanoseconds(system),
            },
            "system_cpu_usage": _nanoseconds(_machine_ticks(proc)),
            "online_cpus": os.cpu_count() or 1,
        },
        "memory_stats": {
            "usage": sum(one.pages for one in members) * os.sysconf("SC_PAGE_SIZE"),
            "limit": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        },
        "networks": networks(_text(proc / str(first) / "net" / "dev")),
    }


def networks(table: str) -> Mapping[str, Mapping[str, int]]:
    """Return the counters of each interface but the loopback, from the text of /proc/PID/net/dev (proc_pid_net(5))."""
    found = {}
    for line in table.splitlines()[2:]:
        interface, _, rest = line.partition(":")
        fields = rest.split()
        if interface.strip() != "lo" and len(fields) >= 12:
            received, sent = fields[:4], fields[8:12]
            found[interface.strip()] = {
                **{f"rx_{what}": int(count) for what, count in zip(_COUNTERS, received, strict=True)},
                **{f"tx_{what}": int(count) for what, count in zip(_COUNTERS, sent, strict=True)},
            }
    return found


def _members(proc: Path, first: int) -> Iterator[_Process]:
    """Yield the processes of the container."""
    namespace = _user_namespace(proc, first)
    known = {one.pid: one for pid in _pids(proc) if (one := _process(proc, pid)) is not None}
    inside = {pid for pid in known if namespace and _user_namespace(proc, pid) == namespace}
    for pid, one in sorted(known.items()):  # a child mostly has a greater pid; one that has not is in the namespace
        if pid in inside or one.parent in inside:
            inside.add(pid)
            yield one


def _pids(proc: Path) -> Iterator[int]:
    return (int(name) for name in os.listdir(proc) if name.isdecimal())  # noqa: PTH208 - only the names are needed


def _process(proc: Path, pid: int) -> _Process | None:
    # The name in parentheses may hold anything, so fields are counted from its end: proc_pid_stat(5), from "state" on.
    fields = _text(proc / str(pid) / "stat").rpartition(")")[2].split()
    if len(fields) < 22:
        return None
    number = [0, *map(int, fields[1:22])]
    return _Process(pid, number[1], number[11] + number[13], number[12] + number[14], number[17], number[21])


def _user_namespace(proc: Path, pid: int) -> str:
    with suppress(OSError):
        return os.readlink(proc / str(pid) / "ns" / "user")  # noqa: PTH115 - no path: "user:[4026531837]"
    return ""


def _machine_ticks(proc: Path) -> int:
    """Return the processor time of the whole machine since its start, without guests, which "user" contains already."""
    return sum(map(int, _text(proc / "stat").partition("\n")[0].split()[1:9]))


def _nanoseconds(ticks: int) -> int:
    return ticks * _NANOSECONDS // os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    """Return the text of a file of /proc; empty when its process has ended."""
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""
