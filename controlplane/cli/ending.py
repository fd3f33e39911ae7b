"""How `up` is asked to end: in order, or at once.

The one rule: the first Ctrl-C (SIGTERM, SIGHUP) ends in order, the second (or SIGQUIT) at once; nothing else of the
program looks at signals.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Ending:
    """What the signals have asked for so far."""

    def __init__(self) -> None:
        self.orderly = asyncio.Event()
        self.at_once = asyncio.Event()

    def listen(self) -> None:
        """Takes the signals of this process; to be called in its event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.ask)
        loop.add_signal_handler(signal.SIGQUIT, self.ask_at_once)

    def ask(self) -> None:
        """One more wish to end."""
        if self.orderly.is_set():
            self.at_once.set()
        self.orderly.set()

    def ask_at_once(self) -> None:
        """A wish to end without order."""
        self.orderly.set()
        self.at_once.set()


async def before(event: asyncio.Event, work: Coroutine[Any, Any, None], name: str) -> bool:
    """Does ``work`` unless ``event`` comes first, which cancels it. Whether it was done."""
    async with asyncio.TaskGroup() as group:
        doing = group.create_task(work, name=name)
        waiting = group.create_task(event.wait(), name=f"end of {name}")
        doing.add_done_callback(lambda _: waiting.cancel())
        waiting.add_done_callback(lambda _: doing.cancel())
    return not doing.cancelled()
