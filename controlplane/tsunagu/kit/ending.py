"""When a process of a mesh ends: on a signal, and when the mesh is over.

The one rule: the end of the life pipe is the end of the mesh, whatever killed whoever held the other end of it.
"""

from __future__ import annotations

import asyncio
import os
import signal

from tsunagu.kit.supervise import continue_at_parents_death


def listen_for_the_end(stop: asyncio.Event, life_fd: int | None) -> None:
    """Sets ``stop`` on SIGTERM, on SIGINT, and when the life pipe ends: its end is the end of the mesh."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if life_fd is None:
        return

    def over() -> None:
        loop.remove_reader(life_fd)
        stop.set()

    os.set_inheritable(life_fd, False)
    loop.add_reader(life_fd, over)
    continue_at_parents_death()
