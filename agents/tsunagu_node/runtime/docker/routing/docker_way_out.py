"""What leaves the mesh from tasks of the docker runtime: by the engine's own way, as far as a task's policy lets it.

Rule: rules of the task's own network namespace refuse, or lead to the relay (`outside.relay`), which listens there: this machine's
loopback always, since the engine has no way to it, and everything of a task that may reach names, since the relay knows what was
admitted. The rules are made by a command in pause, so a change takes a tenth of a second for each task; open connections go on.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.outside.relay.destinations import Policy
from tsunagu_node.outside.relay_client import RelayClient, RelayGone
from tsunagu_node.runtime import nft_messages as nft
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.docker_task import OUTSIDE, DockerTask
from tsunagu_node.runtime.outside import OutsidePlace, RelayCounts

_CHAIN: Final = "outside"
_AFTER: Final = -99  # after the rules that each task has
_LOOPBACK: Final = IPv4Network("127.0.0.0/8")
_MACHINE: Final = IPv4Network("169.254.88.0/24")
_AT_ONCE: Final = 4
_APPLIED: Final = "egress"
_COMPOSED: Final = "the node agent is in a container, with a loopback of its own"
log = get("node.outside")


class DockerWayOut:
    """A WayOut. `inside`: returns the networks of tasks, the containers' first. `tasks`: those that run, by ID. `composed`: the node
    agent is a container.
    """

    def __init__(
        self,
        folder: Path,
        inside: Callable[[], Sequence[IPv4Network]],
        tasks: Mapping[str, DockerTask],
        *,
        composed: bool,
    ) -> None:
        self._relay = RelayClient(folder)
        self._inside = inside
        self._tasks = tasks
        self._composed = composed
        self._places: frozenset[tuple[str, int]] = frozenset()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._changing = asyncio.Lock()

    @property
    def no_host(self) -> str:
        return _COMPOSED if self._composed else ""

    async def run(self) -> None:
        await self._relay.run()

    def first(self, policy: Policy) -> list[bytes]:
        """Return the messages that make the rules of a new task."""
        return rules(policy, self._places, self._inside(), composed=self._composed)

    async def begin(self, task: DockerTask, policy: Policy) -> None:
        """The task is there, with its rules."""
        self._note(task, policy)
        await self._relay.policy(task.id, policy)
        await self._relay.listen(task.id, await task.listen(OUTSIDE), task.id)

    async def adopt(self, task: DockerTask) -> None:
        """The task runs already; the relay may have its listener."""
        try:
            listener = await self._relay.kept(task.id)
        except RelayGone:
            listener = None
        try:
            await self._relay.listen(task.id, listener or await task.listen(OUTSIDE), task.id)
        except RuntimeFailed as error:
            log.warning("a task does not reach this machine", task=task.id, reason=str(error))

    async def end(self, task: str) -> None:
        """The task is no more."""
        await self._relay.forget(task)

    async def places(self, places: Collection[OutsidePlace]) -> None:
        await self._relay.places(places)
        found = frozenset((one.ip, one.port) for one in places)
        if found != self._places:
            self._places = found
            restricted = {task: policy for task in self._tasks if (policy := self._noted(task)) is not Policy.ALLOW}
            await self._lead(restricted)

    async def policies(self, policies: Mapping[str, Policy]) -> None:
        async with self._changing:
            changed = {task: of for task, of in policies.items() if task in self._tasks and of is not self._noted(task)}
            for task, of in policies.items():
                await self._relay.policy(task, of)
            await self._relay.tasks({task: task for task in policies})
            await self._lead(changed)

    async def admit(self, task: str, addresses: Collection[str], seconds: float) -> None:
        await self._relay.admit(task, dict.fromkeys(addresses, seconds))

    async def dismiss(self, task: str, addresses: Collection[str]) -> None:
        await self._relay.admit(task, dict.fromkeys(addresses, -1.0))

    async def counts(self, *, places: bool = False) -> RelayCounts | None:
        try:
            return await self._relay.counts(places=places)
        except RelayGone:
            return None

    def close(self) -> None:
        self._relay.close()

    async def _lead(self, changed: Mapping[str, Policy | None]) -> None:
        async with asyncio.TaskGroup() as group:
            for task, policy in changed.items():
                group.create_task(self._lead_one(task, policy or Policy.ALLOW), name=f"egress of {task}")

    async def _lead_one(self, name: str, policy: Policy) -> None:
        async with self._at_once:
            if (task := self._tasks.get(name)) is None:
                return
            try:
                await task.lead(self.first(policy))
                self._note(task, policy)
            except (RuntimeFailed, OSError) as error:
                log.exception("a task's egress is as it was", task=name, policy=policy, reason=str(error))

    def _noted(self, task: str) -> Policy | None:
        """Return which policy the task's rules are of; None when nobody knows."""
        try:
            return Policy((self._tasks[task].directory / _APPLIED).read_text())
        except (OSError, ValueError):
            return None

    @staticmethod
    def _note(task: DockerTask, policy: Policy) -> None:
        (task.directory / _APPLIED).write_text(policy)


def rules(
    policy: Policy, places: Collection[tuple[str, int]], inside: Sequence[IPv4Network], *, composed: bool = False
) -> list[bytes]:
    """Return the messages that make the rules of a task. `places`: (address, port) of registered places. `inside`: networks of tasks, of
    which the first is the containers', whose first address is the machine's.
    """
    tcp, relay = nft.protocol(nft.TCP), nft.redirect(OUTSIDE)
    to_machine = [(nft.to_network(_MACHINE), nft.reset() if composed else relay)]
    to_places = [
        (nft.to_network(IPv4Network(ip)) + nft.to_port(port), relay if IPv4Address(ip) in _MACHINE else nft.accept())
        for ip, port in sorted(places)
    ]
    outside = b"".join(nft.to_network(one, within=False) for one in (_LOOPBACK, *inside))
    gateway = nft.to_network(IPv4Network(str(inside[0][1])))
    refused = [(gateway, nft.reset()), (outside, nft.reset())]
    first = {
        Policy.ALLOW: to_machine,
        Policy.DENY: [*(() if composed else to_places), *refused],
        Policy.NAMES: [*to_machine, *to_places, (gateway, nft.reset()), (outside, relay)],
    }[policy]
    others = [nft.to_network(_MACHINE)] if policy is Policy.ALLOW else [gateway, outside]
    bodies = [nft.table(), nft.nat_chain(_CHAIN, nft.OUTPUT, _AFTER), nft.without_rules(_CHAIN)]
    bodies += [nft.rule(_CHAIN, tcp, *expressions) for expressions in first]
    bodies += [nft.rule(_CHAIN, where, nft.unreachable()) for where in others]
    return nft.batch(bodies)
