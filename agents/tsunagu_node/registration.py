"""Keeps this machine's Node in the registry, by two leases: a short one for the agent, a long one for the machine.

Rule: an agent renews both before it does anything else, and says READY once it has adopted what runs; until then a Node that
an earlier one left is not READY either. Without the short one
(NodeLease) the node gets no new tasks; the long one is the grace in which another agent may start, and at its end the machine
is taken to be gone, with all of its tasks.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tsunagu.kit.log import get
from tsunagu.model import ids
from tsunagu.model.statuses import NodeState
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import ControlPlane, Refused
from tsunagu_node.identity.host_identity import HostIdentities
from tsunagu_node.runtime.contract import Runtime

AGENT_SECONDS: Final = 10
"""How long an agent may be silent before its node is NOT_READY."""
GRACE_SECONDS: Final = 300
"""How long before the machine is taken to be gone: docs/adr/0019-lost-agents.md."""
RENEW_SECONDS: Final = 3.0
STARTING: Final = "its agent has just started, and adopts what runs"
_RETRY: Final = 0.5
log = get("node.registration")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a node registers about itself.

    `api`: the gRPC target of its NodeAgent service. `pid`: of the node agent, as the machine's own `ps` shows it.
    `capacity`: how many tasks it may run. `chosen`: why its runtime is this one.
    `dns`: ADDRESS:PORT of its name server for programs of the machine.
    `allowed`, `project`: what task definitions may ask for beyond their task, and the folder that they may see (`model.privileges`).
    `zones`: its availability zone, or several to try with.
    """

    name: str
    version: str
    api: str
    pid: int
    capacity: int
    chosen: str = ""
    allowed: Sequence[str] = ()
    project: str = ""
    zones: Sequence[str] = ()
    dns: str = ""


class Registration:
    """The Node of `identity` in the registry. `hosts`: the identities with which its machine calls, of which the Node tells."""

    def __init__(
        self, control: ControlPlane, runtime: Runtime, identity: Identity, hosts: HostIdentities | None = None
    ) -> None:
        self._control = control
        self._runtime = runtime
        self._identity = identity
        self._began = Timestamp()
        self._began.GetCurrentTime()
        self._ready = False
        self._changed = asyncio.Event()
        self._machine, self._agent = f"node/{identity.name}", f"agent/{identity.name}"
        self._hosts = hosts
        if hosts is not None:
            hosts.changed = self._changed.set
        self._problems: dict[str, str] = {}  # what does not work although the agent runs

    def ready(self) -> None:
        """Say from now on that the node is READY: what ran on it is adopted."""
        self._ready = True
        self._changed.set()

    def tell(self, what: str, problem: str) -> None:
        """Have the Node say what is wrong with `what`; empty: it works."""
        self._problems[what] = problem
        self._changed.set()

    async def keep(self) -> None:
        """Register, and stay so until cancelled."""
        while True:
            if not await self._begin():
                await asyncio.sleep(_RETRY)
                continue
            while await self._hold():
                await self._pause()
            log.warning("no longer registered; registering again", node=self._identity.name)

    async def _begin(self) -> bool:
        """Grant both leases; return False when they ran out at once, as after a suspend of the machine."""
        lease = ids.make("NodeLease", self._identity.name, objects_pb2.NodeLease(pid=self._identity.pid))
        lease.meta.lease = self._agent
        try:
            await self._control.lease(self._machine, GRACE_SECONDS)
            await self._control.lease(self._agent, AGENT_SECONDS)
            await self._control.put(lease)
            await self._take_over()
        except Refused as error:
            log.warning("not registered", node=self._identity.name, reason=str(error))
            return False
        return True

    async def _take_over(self) -> None:
        """Have a Node that an earlier agent left say that it is not READY, until this one has adopted what runs."""
        found = await self._control.get("Node", self._identity.name)
        if found is None or found.node.started_at == self._began or found.node.state != NodeState.READY:
            return
        found.node.state, found.node.reason = NodeState.NOT_READY, STARTING
        found.meta.lease = self._machine
        await self._control.put(found)

    async def _hold(self) -> bool:
        """Renew both leases and put the Node as it should be; return False when something of it was lost."""
        name, control = self._identity.name, self._control
        if not (await control.keep_lease(self._machine) and await control.keep_lease(self._agent)):
            return False
        if await control.get("NodeLease", name) is None:  # deleted by hand, it leaves its lease behind
            return False
        try:
            if self._ready and not self._is_up_to_date(await control.get("Node", name)):
                await control.put(self._node())
        except Refused as error:
            log.warning("not registered", node=name, reason=str(error))
            return False
        return True

    def _is_up_to_date(self, found: objects_pb2.Object | None) -> bool:
        return found is not None and found.node == self._node().node and found.meta.lease == self._machine

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def _node(self) -> objects_pb2.Object:
        node = objects_pb2.Node(
            runtime=self._runtime.kind,
            runtime_reason="; ".join(filter(None, (self._identity.chosen, self._runtime.reason))),
            allowed=self._identity.allowed,
            project=self._identity.project,
            zones=self._identity.zones,
            dns=self._identity.dns,
            identities=self._hosts.told() if self._hosts is not None else (),
            task_cidr=self._runtime.task_cidr,
            version=self._identity.version,
            pid=self._identity.pid,
            api=self._identity.api,
            task_capacity=self._identity.capacity,
            started_at=self._began,
            state=NodeState.READY,
            reason="; ".join(filter(None, (*self._problems.values(), self._runtime.problem))),
        )
        return objects_pb2.Object(meta=objects_pb2.Meta(name=self._identity.name, lease=self._machine), node=node)
