"""What real processes use and where they listen, as the fake runtime tells it."""

from contextlib import suppress

import psutil

from tsunagu_node.runtime.contract import Listening


def used_by(name: str, pid: int):
    """Return what the process uses, in the shape of Docker's stats."""
    process = psutil.Process(pid)
    spent = process.cpu_times()
    return {
        "name": name,
        "cpu_stats": {"cpu_usage": {"total_usage": int((spent.user + spent.system) * 1e9)}},
        "memory_stats": {"usage": process.memory_info().rss},
        "networks": {},
    }


def ports_of(pid: int) -> set[Listening]:
    """Return where the process or a child of it listens."""
    found = set()
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            found |= {
                Listening(at.laddr.port, at.laddr.ip)
                for at in one.net_connections("tcp")
                if at.status == psutil.CONN_LISTEN
            }
    return found
