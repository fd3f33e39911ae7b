"""The node agent's end of the channel to the relay (`outside.relay.process`), which it finds again whenever that starts anew.

Rule: what the relay is to know is kept here, and told again to each new one: listeners above all, so that what waits at them while
none runs is served by the next.
"""

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.log import get
from tsunagu_node.outside.relay.destinations import Policy
from tsunagu_node.outside.relay.process import KNOCK, MESSAGE, SOCKET
from tsunagu_node.runtime.outside import OutsidePlace, RelayCounts

_RETRY: Final = Backoff(base=0.02, cap=1.0)
_PATIENCE: Final = 10.0
log = get("node.outside")


class RelayGone(Exception):
    """The relay does not run, or does not answer."""


class RelayClient:
    """Speaks with the relay in `folder`. Invariant: `_waiting` has one future for each request that is not answered, in their order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._channel: socket.socket | None = None
        self._connected = asyncio.Event()
        self._waiting: deque[asyncio.Future[tuple[dict[str, Any], list[int]]]] = deque()
        self._listeners: dict[str, tuple[socket.socket, str]] = {}
        self._tasks: Mapping[str, str] | None = None  # until it is known the relay goes by what it was told before
        self._places: list[tuple[str, int, str]] | None = None
        self._queue: socket.socket | None = None
        self._policies: dict[str, Policy] = {}

    async def run(self) -> None:
        """Be connected whenever it runs, until cancelled."""
        failures = 0
        while True:
            try:
                await self._serve()
                failures = 0
            except OSError as error:
                failures += 1
                if failures == 1:
                    log.warning("the relay to places outside is away", reason=error.strerror)
            await asyncio.sleep(_RETRY.delay(failures + 1))

    # -- what it is to know

    async def listen(self, name: str, listener: socket.socket, task: str = "") -> None:
        """Have it take connections there; the socket is this object's from now on. `task`: as in the protocol."""
        if (before := self._listeners.pop(name, None)) is not None:
            before[0].close()
        self._listeners[name] = listener, task
        await self._tell({"op": "listen", "name": name, "task": task}, [listener.fileno()])

    async def knock(self, queue: socket.socket) -> None:
        """Have it connect first to what this queue tells of; the queue is this object's from now on."""
        if self._queue is not None:
            self._queue.close()
        self._queue = queue
        await self._tell({"op": KNOCK}, [queue.fileno()])

    async def kept(self, name: str) -> socket.socket | None:
        """Return the listener of this name that it has from an earlier node agent. Raises RelayGone."""
        _, fds = await self._ask({"op": "kept", "name": name})
        return socket.socket(fileno=fds[0]) if fds else None

    async def forget(self, name: str) -> None:
        """Have it take connections there no more."""
        if (before := self._listeners.pop(name, None)) is not None:
            before[0].close()
        self._policies.pop(name, None)
        await self._tell({"op": "forget", "name": name})

    async def tasks(self, tasks: Mapping[str, str]) -> None:
        """Tell which there are: address -> task."""
        self._tasks = dict(tasks)
        await self._tell({"op": "tasks", "tasks": self._tasks})

    async def places(self, places: Iterable[OutsidePlace]) -> None:
        """Tell of all registered places."""
        self._places = sorted((one.ip, one.port, one.host) for one in places)
        await self._tell({"op": "places", "places": self._places})

    async def policy(self, task: str, policy: Policy) -> None:
        """Tell what a task may reach that the kernel does not judge."""
        self._policies[task] = policy
        await self._tell({"op": "policy", "task": task, "policy": policy})

    async def admit(self, task: str, addresses: Mapping[str, float]) -> None:
        """Let such a task reach these addresses, for so many seconds."""
        await self._tell({"op": "admit", "task": task, "addresses": dict(addresses)})

    async def counts(self, *, places: bool) -> RelayCounts:
        """Return what was counted, by task. Raises RelayGone."""
        answer, _ = await self._ask({"op": "counts", "places": places})
        return RelayCounts(answer["began"], answer["counts"])

    def close(self) -> None:
        for listener, _ in self._listeners.values():
            listener.close()
        self._listeners.clear()
        if self._queue is not None:
            self._queue.close()

    # -- the channel

    async def _serve(self) -> None:
        """Connect, tell everything, and take answers until the connection ends."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
            channel.setblocking(False)
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                channel.connect(f"/proc/self/fd/{folder}/{SOCKET}")  # a path of any length
            finally:
                os.close(folder)
            self._channel = channel
            try:
                self._tell_all(channel)
                self._connected.set()
                readable = asyncio.Event()
                loop.add_reader(channel, readable.set)
                while True:
                    await readable.wait()
                    readable.clear()
                    if not self._take(channel):
                        return
            finally:
                loop.remove_reader(channel)
                self._lost()

    def _take(self, channel: socket.socket) -> bool:
        """Take the answers that have come; return whether the connection goes on."""
        while True:
            try:
                raw, fds, _, _ = socket.recv_fds(channel, MESSAGE, 1)
            except BlockingIOError:
                return True
            if not raw:
                return False
            waiting = self._waiting.popleft()
            if waiting.done():  # whoever asked waits no more
                for fd in fds:
                    os.close(fd)
            else:
                waiting.set_result((json.loads(raw), fds))

    def _lost(self) -> None:
        self._channel = None
        self._connected.clear()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(RelayGone("the relay has ended"))
                waiting.exception()  # whoever sent it may not wait for it
        self._waiting.clear()

    def _tell_all(self, channel: socket.socket) -> None:
        requests: list[tuple[dict[str, Any], list[int]]] = [
            ({"op": "listen", "name": name, "task": task}, [listener.fileno()])
            for name, (listener, task) in self._listeners.items()
        ]
        if self._queue is not None:
            requests.append(({"op": KNOCK}, [self._queue.fileno()]))
        requests += [({"op": "policy", "task": task, "policy": policy}, []) for task, policy in self._policies.items()]
        requests += [({"op": "places", "places": self._places}, [])] if self._places is not None else []
        requests += [({"op": "tasks", "tasks": self._tasks}, [])] if self._tasks is not None else []
        for request, fds in requests:
            self._send(channel, request, fds)

    def _send(
        self, channel: socket.socket, request: Mapping[str, Any], fds: list[int]
    ) -> asyncio.Future[tuple[dict[str, Any], list[int]]]:
        socket.send_fds(channel, [json.dumps(request).encode()], fds)
        answered = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        return answered

    async def _ask(self, request: Mapping[str, Any], fds: list[int] | None = None) -> tuple[dict[str, Any], list[int]]:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._connected.wait()
                assert self._channel is not None
                return await self._send(self._channel, request, fds or [])
        except (OSError, TimeoutError) as error:
            raise RelayGone(str(error) or "the relay does not answer") from error

    async def _tell(self, request: Mapping[str, Any], fds: list[int] | None = None) -> None:
        """Ask now if it runs; otherwise it is told when it does."""
        if self._connected.is_set():
            with suppress(RelayGone):
                await self._ask(request, fds)
