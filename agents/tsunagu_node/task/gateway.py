"""The published ports of a gateway's task: ports of the machine that lead into a namespace.

Rule: from the moment that they are open they need no node agent: the relay, a process of the task, accepts and relays. It
is started again when it dies, and is asked to accept no more when the task is to end.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.runtime.contract import RELAY, PortRelay, PortTaken, RunningTask

_RETRY: Final = 0.5
log = get("node.gateway")


class Gateway:
    """Keeps the ports of one gateway's task open. `changed` is called when `open` has changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._ended = asyncio.Event()  # the relay's process has ended since it was last started
        self._wanted = True
        self.open = False  # the ports were opened at least once

    async def run(self, task: RunningTask, ready: asyncio.Event) -> None:
        """Keep the ports open from `ready` on, whatever dies, until `drain`. Raises PortTaken at the first start."""
        adopted = relay_runs(task)
        while self._wanted:
            if not adopted:
                await self._start(task, ready)
            adopted = False
            self.open = True
            self._changed()
            await self._ended.wait()

    def exited(self, code: int) -> None:
        """Take note that the relay's process has ended."""
        log.info("relay ended", code=code)
        self._ended.set()

    async def drain(self, task: RunningTask) -> None:
        """Accept no new connections; those that there are go on."""
        self._wanted = False
        await task.signal(RELAY, signal.SIGTERM)

    async def _start(self, task: RunningTask, ready: asyncio.Event) -> None:
        self._ended.clear()
        relay = await task.start_relay()
        try:
            await ready.wait()
            await self._open(relay)
        finally:
            relay.close()

    async def _open(self, relay: PortRelay) -> None:
        """Open the ports. If they were open before, wait until a process that has taken one since lets it go."""
        while True:
            try:
                await relay.open()
            except PortTaken as error:
                if not self.open:
                    raise
                log.warning("published port", reason=str(error))
                await asyncio.sleep(_RETRY)
            else:
                return


def relay_runs(task: RunningTask) -> bool:
    """Return whether the relay that a former node agent started still runs."""
    process = task.processes().get(RELAY)
    return process is not None and process.code is None
