"""How a command that runs long is asked to end: `up` in order, or at once; others in order.

The one rule: of `up`, the first Ctrl-C (SIGTERM, SIGHUP) ends in order, the second (or SIGQUIT) at once; nothing else of the
program looks at signals.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tsunagu.cli.errors import Terminated

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator


class Ending:
    """The end that signals have requested so far. Invariant: `at_once` implies `orderly`."""

    def __init__(self) -> None:
        self.orderly = asyncio.Event()
        self.at_once = asyncio.Event()

    def listen(self) -> None:
        """Handle the signals of this process from now on, in the running event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.request)
        loop.add_signal_handler(signal.SIGQUIT, self.request_at_once)

    def request(self) -> None:
        """Request an orderly end; a second request is one to end at once."""
        if self.orderly.is_set():
            self.at_once.set()
        self.orderly.set()

    def request_at_once(self) -> None:
        """Request an end without draining."""
        self.orderly.set()
        self.at_once.set()


async def before(event: asyncio.Event, work: Coroutine[Any, Any, None], name: str) -> bool:
    """Run `work`, cancelled when `event` is set first. Returns whether it was done."""
    async with asyncio.TaskGroup() as group:
        doing = group.create_task(work, name=name)
        waiting = group.create_task(event.wait(), name=f"end of {name}")
        doing.add_done_callback(lambda _: waiting.cancel())
        waiting.add_done_callback(lambda _: doing.cancel())
    return not doing.cancelled()


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside the block SIGTERM ends the running command as Ctrl-C does, by `Terminated`: what the block has to finish, it
    finishes.

    Not by raising in the signal's handler: that can strike inside of gRPC's own callbacks, where it is lost.
    """
    loop, command = asyncio.get_running_loop(), asyncio.current_task()
    assert command is not None, "a command runs in a task"
    asked = asyncio.Event()

    def end() -> None:
        asked.set()
        command.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if asked.is_set():
            raise Terminated from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
