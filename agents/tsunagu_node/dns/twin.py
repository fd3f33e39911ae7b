"""The twin of a task: an address of this machine's loopback, 127.88.x.y, with the task's ports, which leads to the task.

Programs of the machine are in no task's network and could not reach one by its address. Rule: a twin is a caller from outside, and
nothing more: it connects from the node's own address in the tasks' network (never a task's), to the container port, so that a port
of Service Connect is entered through the task's proxy, as from a virtual machine beside it on AWS; where that proxy takes TLS, as
this machine (`twin_entrance`). The address follows from the task's; when something else has it, or one of the ports, another one is tried.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, cast

from tsunagu.v1 import objects_pb2
from tsunagu_node.dns import twin_relay
from tsunagu_node.dns.twin_entrance import Entrances
from tsunagu_node.runtime.contract import PortTaken, RunningTask, Runtime
from tsunagu_node.task.spec import TaskSpec

NETWORK: Final = "127.88"
_ADDRESSES: Final = 4
_STEP: Final = 4099  # to the next address that is tried: a prime, so that neighbours do not try the same ones
_HOSTS: Final = 65534
_FIRST_FREE: Final = 1024
_SHIFT: Final = 8000  # 80 -> 8080, 443 -> 8443


@dataclass(frozen=True, slots=True)
class Port:
    """A container port, `protocol`: tcp or udp."""

    number: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Bound:
    """A port of a twin. `socket`: None when it could not be listened at, for the reason `why`, which is also that of another number."""

    port: Port
    socket: socket.socket | None
    why: str = ""

    def told(self) -> objects_pb2.TwinPort:
        """Return what is told of it."""
        number = self.socket.getsockname()[1] if self.socket else 0
        return objects_pb2.TwinPort(
            container_port=self.port.number, protocol=self.port.protocol, port=number, reason=self.why
        )


class Twin:
    """The twin of `task`. `status`: what is told of it; `opened` is called when that is known."""

    def __init__(
        self,
        runtime: Runtime,
        task: RunningTask,
        spec: TaskSpec,
        entrances: Entrances,
        opened: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._entrances = entrances
        self._task = task
        self._ports = ports(spec.revision)
        self._before = spec.task.status.twin.ip
        self._opened = opened
        self.status = objects_pb2.Twin()

    async def run(self) -> None:
        """Listen and relay until cancelled."""
        with self._entrances.open() as entrance, ExitStack() as held:
            ip, found = await self._listen()
            for one in found:
                if one.socket is not None:
                    held.enter_context(one.socket)
            self.status = objects_pb2.Twin(ip=ip, ports=[one.told() for one in found])
            self._opened()
            async with asyncio.TaskGroup() as group:
                for one in found:
                    if one.socket is not None:
                        work = (
                            twin_relay.tcp(one.socket, entrance(one.port.number))
                            if one.port.protocol == "tcp"
                            else twin_relay.udp(one.socket, (self._task.ip, one.port.number))
                        )
                        group.create_task(work, name=f"{self._task.id} twin of port {one.port.number}")

    async def _listen(self) -> tuple[str, list[Bound]]:
        """Return the address and its ports: the first address where all are to be had, else the last with what there is."""
        *first, last = candidates(self._task.ip, self._before)
        for ip in first:
            if (found := await self._all(ip)) is not None:
                return ip, found
        return last, [await self._some(last, port) for port in self._ports]

    async def _all(self, ip: str) -> list[Bound] | None:
        with ExitStack() as undo:
            found = []
            for port in self._ports:
                try:
                    found.append(await self._one(ip, port))
                except PortTaken:
                    return None
                undo.enter_context(cast("socket.socket", found[-1].socket))
            undo.pop_all()
        return found

    async def _one(self, ip: str, port: Port) -> Bound:
        """Listen at the port itself; one that is an administrator's has another number too. Raises PortTaken."""
        try:
            return Bound(port, await self._runtime.machine_socket(port.protocol, ip, port.number))
        except PortTaken as error:
            if port.number >= _FIRST_FREE:
                raise
            why = f"{error}; ports below {_FIRST_FREE} are root's, unless net.ipv4.ip_unprivileged_port_start says otherwise"
        return Bound(port, await self._runtime.machine_socket(port.protocol, ip, port.number + _SHIFT), why)

    async def _some(self, ip: str, port: Port) -> Bound:
        """Listen at the port, or at any free one, or not at all."""
        try:
            return await self._one(ip, port)
        except PortTaken as error:
            why = str(error)
        try:
            return Bound(port, await self._runtime.machine_socket(port.protocol, ip, 0), why)
        except PortTaken as error:
            return Bound(port, None, str(error))


def candidates(ip: str, before: str) -> Sequence[str]:
    """Return the addresses to try for the task at `ip`: the one that it had `before` a restart of the node agent, then others."""
    low = int(IPv4Address(ip)) & 0xFFFF
    first = int(IPv4Address(f"{NETWORK}.0.0"))
    tried = [str(IPv4Address(first + (low + step * _STEP - 1) % _HOSTS + 1)) for step in range(_ADDRESSES)]
    return tuple(dict.fromkeys([*([before] if before else []), *tried]))


def ports(revision: objects_pb2.ServiceRevision) -> Sequence[Port]:
    """Return the ports of a task of the revision: those of its containers, and the one with which it is registered."""
    mappings = (one for container in revision.task_definition.container_definitions for one in container.port_mappings)
    found = [Port(one.container_port, one.protocol or "tcp") for one in mappings if one.container_port]
    known = {port.number for port in found}
    found += [Port(one.port, "tcp") for one in revision.registrations if one.port and one.port not in known]
    return tuple(dict.fromkeys(found))
