"""What leaves the mesh from tasks of the linux runtime: rules at the sandbox's bridge (`ways_out`), and the relay behind them.

Rule: the kernel's rules are of the sandbox, and outlive a node agent; until a new one knows the policies of all tasks, it changes none.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu_node.outside.relay import knock
from tsunagu_node.outside.relay.destinations import Policy
from tsunagu_node.outside.relay.process import KNOCK
from tsunagu_node.outside.relay_client import RelayClient, RelayGone
from tsunagu_node.runtime import netfilter, nft_messages
from tsunagu_node.runtime.linux import ways_out
from tsunagu_node.runtime.linux.ways_out import RulesRefused, WaysOut
from tsunagu_node.runtime.outside import OutsidePlace, RelayCounts

_LISTENER: Final = "sandbox"
_BACKLOG: Final = 1024
log = get("node.outside")


class LinuxWayOut:
    """A WayOut. `folder`: the node's. Invariant: `_tasks` has every task that runs: its ID -> its address."""

    def __init__(self, folder: Path, network: IPv4Network) -> None:
        self._relay = RelayClient(folder)
        self._bridge = str(network[1])
        self._tasks: dict[str, str] = {}
        self._policies: dict[str, Policy] = {}
        self._places: frozenset[tuple[str, int]] = frozenset()
        self._port = 0  # the relay's at the bridge; 0: it does not listen yet
        self._queue: Callable[[int], bytes] | None = None  # as of WaysOut
        self._told = False  # the policies of all tasks are known
        self._changing = asyncio.Lock()
        self._listening = asyncio.Event()
        self.problem = ""

    @property
    def no_host(self) -> str:
        return ""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relay.run(), name="channel to the relay")
            await self._listen()
            await self._knock()
            await self._apply()

    async def begin(self, task: str, ip: str, policy: Policy) -> None:
        """A task with this address is about to start. Raises RulesRefused when its policy cannot be enforced."""
        self._tasks[task], self._policies[task] = ip, policy
        if policy is not Policy.ALLOW:
            await self._listening.wait()  # until then rules are as an earlier agent left them
        try:
            await self._changed()
        except RulesRefused as error:
            if policy is not Policy.ALLOW:
                raise
            self._refused(error)

    def adopt(self, task: str, ip: str) -> None:
        """A task with this address runs already."""
        self._tasks[task] = ip

    def end(self, task: str) -> None:
        """The task is no more. Its address stays in the rules until they are made anew: nobody has it."""
        self._tasks.pop(task, None)
        self._policies.pop(task, None)

    async def places(self, places: Collection[OutsidePlace]) -> None:
        self._places = frozenset((one.ip, one.port) for one in places)
        await self._relay.places(places)
        await self._apply()

    async def policies(self, policies: Mapping[str, Policy]) -> None:
        self._policies = {task: policies.get(task, Policy.ALLOW) for task in self._tasks}
        self._told = True
        await self._apply()

    async def admit(self, task: str, addresses: Collection[str], seconds: float) -> None:
        await self._send(ways_out.admitted, task, addresses, seconds)

    async def dismiss(self, task: str, addresses: Collection[str]) -> None:
        await self._send(ways_out.dismissed, task, addresses)

    async def counts(self, *, places: bool = False) -> RelayCounts | None:
        try:
            return await self._relay.counts(places=places)
        except RelayGone:
            return None

    def close(self) -> None:
        self._relay.close()

    async def _listen(self) -> None:
        """Listen at the bridge: at the socket that the relay has from an earlier agent, or at a new one."""
        try:
            listener = await self._relay.kept(_LISTENER)
        except RelayGone:
            listener = None
        if listener is None:
            listener = socket.create_server((self._bridge, 0), backlog=_BACKLOG)
        self._port = listener.getsockname()[1]
        self._listening.set()
        await self._relay.listen(_LISTENER, listener)

    async def _knock(self) -> None:
        """Have the relay connect before whoever calls is answered, where the kernel has queues for that."""
        try:
            kept = await self._relay.kept(KNOCK)
            queue = kept if kept is not None else await asyncio.to_thread(knock.opened)
            self._queue = await asyncio.to_thread(_form_of_queue)
        except (OSError, RelayGone) as error:
            log.warning("a refused connection to a place outside is reset after it was accepted", reason=str(error))
            return
        await self._relay.knock(queue)

    async def _apply(self) -> None:
        try:
            await self._changed()
        except RulesRefused as error:
            self._refused(error)

    async def _changed(self) -> None:
        """Make the rules what is known now. Raises RulesRefused."""
        await self._relay.tasks({ip: task for task, ip in self._tasks.items()})
        if not self._told or not self._port:
            return
        of = {policy: {self._tasks[task] for task, its in self._policies.items() if its is policy} for policy in Policy}
        denied, named = frozenset(of[Policy.DENY]), frozenset(of[Policy.NAMES])
        wanted = WaysOut(self._port, self._places, denied, named, self._queue)
        async with self._changing:
            await asyncio.to_thread(_rules, wanted.batch())
        self.problem = ""

    async def _send(self, make: Any, task: str, addresses: Collection[str], *more: float) -> None:
        if (ip := self._tasks.get(task)) and addresses:
            async with self._changing:
                try:
                    await asyncio.to_thread(_rules, make(ip, addresses, *more))
                except RulesRefused as error:
                    self._refused(error)

    def _refused(self, error: RulesRefused) -> None:
        if not self.problem:
            log.error("tasks do not reach places outside", reason=str(error))
        self.problem = str(error)


def _form_of_queue() -> Callable[[int], bytes]:
    """Return the form in which the kernel takes a rule that has packets wait. Raises OSError."""
    with netfilter.connected() as channel:
        for form in (nft_messages.queue, nft_messages.queue_by_target):
            if not (code := netfilter.refusal(channel, ways_out.trial(form))):
                return form
    raise OSError(code, f"{os.strerror(code)} (nfnetlink_queue, nft_queue needed)")


def _rules(messages: list[bytes]) -> None:
    with netfilter.connected() as channel:
        if code := netfilter.refusal(channel, messages):
            raise ways_out.refused(code)
