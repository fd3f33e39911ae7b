"""How far one task is with TLS: looks at its Envoy, waits for the others', and says so in its status (`tls_plan` decides).

Rule: what was said stays said until the next step, whatever restarts: it is in the task's status, from which an adopted task
continues.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.log import get
from tsunagu.model.identity.modes import OFF, STRICT, tls_port
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import ControlPlane, Refused
from tsunagu_node.task.calls.modes import Modes
from tsunagu_node.task.calls.tls_plan import Led, Said, Seen, at_rest, following, led
from tsunagu_node.task.spec import TaskSpec, task_id
from tsunagu_node.task.status_writer import StatusWriter
from tsunagu_sidecar.admin import Admin, AdminError
from tsunagu_sidecar.idle import IngressPort

_RETRY: Final = Backoff(base=0.05, cap=1.0)
_SLICE: Final = 2.0  # after so many seconds the control plane says who is still missing
_NAMED: Final = 3  # of the proxies that are missing
PATIENCE: Final = 3600.0
"""Seconds after which a connection to an ingress that is to go is not waited for any more: Envoy drains it, then cuts it."""
log = get("node.tls")


class TaskTls:
    """`report` is called when there is something else to say. `waits_for`: what the mode that is wanted waits for; empty: it is in force."""

    def __init__(self, spec: TaskSpec, modes: Modes, control: ControlPlane, report: Callable[[], None]) -> None:
        self._spec = spec
        self._modes = modes
        self._control = control
        self._report = report
        before = spec.task.status.tls
        self._said = {
            port.port_name: Said(port.port_name in before.ready, port.port_name in before.alone)
            for port in spec.revision.ports
        }
        self._since = time.monotonic()  # when the mode was last seen to change
        self.waits_for = ""

    def report(self, status: objects_pb2.TaskStatus) -> None:
        """Put what is said into a status; what says nothing leaves no trace."""
        made = objects_pb2.TaskTls(
            ready=[name for name, said in self._said.items() if said.ready],
            alone=[name for name, said in self._said.items() if said.alone],
            waits_for=self.waits_for,
        )
        status.ClearField("tls")
        if made.ByteSize():
            status.tls.CopyFrom(made)

    @property
    def unadmitted(self) -> str:
        """Why callers must not be led to the task yet; empty: they may. A port that is to take TLS alone has to do so."""
        for port in self._spec.revision.ports:
            mode = self._mode(port)
            if mode is None:
                return "the registry has not said yet how its namespace's tasks speak with each other"
            if mode == STRICT and not self._said[port.port_name].alone:
                return f"for TLS: {self.waits_for or 'its Envoy is looked at'}"
        return ""

    def led(self, container_port: int) -> Led:
        """Return where a caller of a container port is led now. One that does not lead through the proxy is the app's own."""
        for index, port in enumerate(self._spec.revision.ports):
            if port.container_port == container_port and port.intercept:
                return led(self._mode(port), self._said[port.port_name], tls_port(index))
        return Led()

    @property
    def ingress(self) -> Sequence[IngressPort]:
        """The listeners that have to be idle before the task may stop."""
        found = []
        for index, port in enumerate(self._spec.ingress):
            said = self._said[port.name]
            if not said.alone:
                found.append(port)
            if said.ready and (said.alone or not port.http):  # both count the requests of HTTP as one
                found.append(IngressPort(port.name, tls_port(index), port.http))
        return found

    async def run(self, admin: Admin, writer: StatusWriter, reported: Callable[[], objects_pb2.TaskStatus]) -> None:
        """Take step after step until cancelled. `reported`: the task's status as it was last reported."""
        if not self._said:
            return
        failures = 0
        while True:
            version = self._modes.version
            before = dict(self._said), self.waits_for
            moved = await self._step(admin, writer, reported())
            if before != (self._said, self.waits_for):
                self._report()
            failures = 0 if moved else failures + 1
            await self._next(version, failures)

    async def _step(self, admin: Admin, writer: StatusWriter, task: objects_pb2.TaskStatus) -> bool:
        """Take the next step of each port. Returns whether one was taken."""
        wanted = {port.port_name: self._mode(port) for port in self._spec.revision.ports}
        if all(mode is None or at_rest(mode, self._said[name]) for name, mode in wanted.items()):
            self.waits_for = ""
            return False
        try:
            seen = await self._look(admin, task)
        except AdminError:
            self.waits_for = "its Envoy does not answer"
            return False
        moved = False
        waits = []
        for name, mode in wanted.items():
            if mode is None:
                continue
            after, why = following(mode, self._said[name], seen[name])
            if why and not seen[name].settled and self._may_settle(after, mode):
                missing = await self._missing(writer)
                after, why = following(mode, self._said[name], seen[name]._replace(settled=not missing))
                why = f"{why}: {missing}" if missing else why
            moved = moved or after != self._said[name]
            self._said[name] = after
            waits += [why] if why else []
        self.waits_for = "; ".join(dict.fromkeys(waits))
        return moved

    @staticmethod
    def _may_settle(said: Said, mode: str) -> bool:
        return (mode == STRICT and said.ready) or mode == OFF

    async def _look(self, admin: Admin, task: objects_pb2.TaskStatus) -> Mapping[str, Seen]:
        live = set(await admin.listeners())
        gauges = await admin.stats(r"^listener[.]0[.]0[.]0[.]0_[0-9]+[.]downstream_cx_active$")
        patient = time.monotonic() < self._since + PATIENCE
        revision = self._spec.task.spec.service_revision

        def connections(port: int) -> int | None:
            return gauges.get(f"listener.0.0.0.0_{port}.downstream_cx_active") if patient else 0

        return {
            port.port_name: Seen(
                identity=bool(task.identity.id),
                plain=f"in/{revision}/{port.port_name}" in live,
                tls=f"tls/{revision}/{port.port_name}" in live,
                fresh=not task.HasField("started_at"),
                settled=False,
                plain_connections=connections(port.ingress_port),
                tls_connections=connections(tls_port(index)),
            )
            for index, port in enumerate(self._spec.revision.ports)
        }

    async def _missing(self, writer: StatusWriter) -> str:
        """Return which proxies have not acknowledged the mode and the task's status; empty: none."""
        mode = self._modes.of(self._spec.namespace)
        revision = max(await writer.written(), mode.since if mode is not None else 0)
        try:
            answer = await self._control.wait(revision, self._spec.namespace, _SLICE)
        except Refused as error:
            return str(error)
        if answer.converged:
            return ""
        named = ", ".join(f"{task_id(proxy.proxy)}: {proxy.reason}" for proxy in answer.missing[:_NAMED])
        return named + (f" and {len(answer.missing) - _NAMED} more" if len(answer.missing) > _NAMED else "")

    def _mode(self, port: objects_pb2.ServicePort) -> str | None:
        if port.HasField("tls"):
            return STRICT
        mode = self._modes.of(self._spec.namespace)
        return None if mode is None else mode.word

    async def _next(self, version: int, failures: int) -> None:
        """Wait until there may be something to do."""
        waiting = failures and self.waits_for
        try:
            async with asyncio.timeout(_RETRY.delay(failures) if waiting else None if failures else 0):
                await self._modes.newer(version)
        except TimeoutError:
            return
        self._since = time.monotonic()
