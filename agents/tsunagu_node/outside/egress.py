"""What tasks of this node may reach outside of the mesh: each what the Namespace that it is of says, as the registry has it.

Rule: state: after any change all tasks are told what holds now, and open connections go on. For tasks that may reach names (those of
their namespace's Externals among them, whatever else is denied) the answers of their name server decide: an address that was told for such a name may be reached as long as the answer may be kept, and
GRACE more; before the answer is given, the address is let through.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import dns.exception
import dns.message
import dns.rdatatype

from tsunagu.model.outside import external
from tsunagu.model.outside.egress import ALLOW, DENY, HOST_NAME, Egress
from tsunagu.registry.informer import Informer
from tsunagu.v1 import node_pb2
from tsunagu_node.outside.relay.destinations import HOST, Policy
from tsunagu_node.runtime.outside import WayOut

GRACE: Final = 60.0
"""Seconds: programs resolve a name, and connect later."""
LONGEST: Final = 86_400.0
_ALWAYS: Final = 10 * 365 * 86_400.0


@dataclass
class _Task:
    """`told`: name -> the addresses that were told for it and that it may have been admitted to."""

    namespace: str
    egress: Egress
    told: dict[str, set[str]] = field(default_factory=dict)


class Outside:
    """Has every task that runs here in `_tasks`, by its ID."""

    def __init__(self, way_out: WayOut) -> None:
        self._way_out = way_out
        self._namespaces: Informer | None = None
        self._externals: Informer | None = None
        self._telling = asyncio.Lock()
        self._tasks: dict[str, _Task] = {}
        self._known = asyncio.Event()

    async def run(self, namespaces: Informer, externals: Informer) -> None:
        """Follow the policies of the Namespaces, and the names of their Externals, until cancelled."""
        self._namespaces, self._externals = namespaces, externals
        async with asyncio.TaskGroup() as group:
            for informer in (namespaces, externals):
                group.create_task(self._follow(informer), name="what tasks may reach")

    async def _follow(self, informer: Informer) -> None:
        async for _ in informer.follow():
            if self._namespaces and self._namespaces.synced and self._externals and self._externals.synced:
                async with self._telling:
                    await self._tell()
                self._known.set()

    async def begin(self, task: str, namespace: str) -> Policy:
        """A task of this namespace (empty: of none) is about to start; return its policy."""
        await self._known.wait()
        known = self._tasks[task] = _Task(namespace, self._of(namespace))
        return policy_of(known.egress)

    def adopt(self, task: str, namespace: str) -> None:
        """A task runs already; all that do are known before `run`."""
        self._tasks[task] = _Task(namespace, self._of(namespace))

    async def begun(self, task: str) -> None:
        """The task has a network now: what has changed since `begin` holds for it, too."""
        await self._enforce()
        await self._let_through(task)

    def end(self, task: str) -> None:
        """The task is no more."""
        self._tasks.pop(task, None)

    async def counts(self, task: str) -> node_pb2.OutsideCounts | None:
        """Return what left the mesh from a task, and what was refused; None when nobody knows."""
        found = await self._way_out.counts(places=True)
        return counted(found.tasks.get(task, {})) if found is not None else None

    def refusal(self, task: str, name: str) -> str:
        """Return why the task is not told of a name outside; empty when it is."""
        known = self._tasks.get(task)
        if known is None or known.egress.admits(name):
            return self._way_out.no_host if name == HOST_NAME else ""
        return f"egress of namespace {known.namespace} is {known.egress.words()}"

    async def heard(self, task: str, name: str, answer: bytes) -> None:
        """A task is about to be told this answer for a name that it may reach."""
        known = self._tasks.get(task)
        if known is None or policy_of(known.egress) is not Policy.NAMES:
            return
        for addresses, seconds in found(answer):
            known.told.setdefault(name, set()).update(addresses)
            await self._way_out.admit(task, addresses, min(seconds, LONGEST) + GRACE)

    def _of(self, namespace: str) -> Egress:
        objects = self._namespaces.objects("Namespace") if self._namespaces else {}
        declared = self._externals.objects("External") if self._externals else {}
        mine = (obj.external for name, obj in declared.items() if name.startswith(f"{namespace}/"))
        names = (one for body in mine for one in external.names(body))
        return Egress.of(objects[namespace].namespace.egress).also(names) if namespace in objects else Egress()

    async def _tell(self) -> None:
        changed = {task: new for task, its in self._tasks.items() if (new := self._of(its.namespace)) != its.egress}
        for task, new in changed.items():
            self._tasks[task].egress = new
        await self._enforce()
        for task, new in changed.items():
            await self._forget(task, new)
            await self._let_through(task)

    async def _enforce(self) -> None:
        await self._way_out.policies({task: policy_of(its.egress) for task, its in self._tasks.items()})

    async def _let_through(self, task: str) -> None:
        """Let the task reach what it need not ask for."""
        known = self._tasks.get(task)
        if known is not None and policy_of(known.egress) is Policy.NAMES and known.egress.admits(HOST_NAME):
            await self._way_out.admit(task, (HOST,), _ALWAYS)

    async def _forget(self, task: str, egress: Egress) -> None:
        """Take back what was admitted for names that the task may not reach any more."""
        told = self._tasks[task].told
        gone = {name for name in told if not egress.admits(name)}
        stays: set[str] = set().union(*(told[name] for name in told.keys() - gone))
        lost: Collection[str] = set[str]().union(*(told.pop(name) for name in gone)) - stays
        if not egress.admits(HOST_NAME):
            lost = {*lost, HOST}
        await self._way_out.dismiss(task, lost)


def policy_of(egress: Egress) -> Policy:
    """Return what a runtime enforces."""
    return {ALLOW: Policy.ALLOW, DENY: Policy.DENY}.get(egress.word, Policy.NAMES)


def counted(told: Mapping[str, Any]) -> node_pb2.OutsideCounts:
    """Return what the relay tells of a task (`outside.relay.counting`)."""
    places = [
        node_pb2.RefusedPlace(ip=ip, port=port, reason=reason, count=count)
        for ip, port, reason, count in told.get("places", ())
    ]
    numbers = {name: told.get(name, 0) for name in ("opened", "active", "sent", "received")}
    return node_pb2.OutsideCounts(**numbers, refused=told.get("refused", {}), places=places)


def found(answer: bytes) -> list[tuple[set[str], float]]:
    """Return the IPv4 addresses of a DNS answer, with how many seconds each group may be kept; none if it cannot be read."""
    try:
        sets = dns.message.from_wire(answer).answer
    except dns.exception.DNSException:
        return []
    return [({one.address for one in group}, float(group.ttl)) for group in sets if group.rdtype == dns.rdatatype.A]
