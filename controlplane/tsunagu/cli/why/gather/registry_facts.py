"""What the registry says about a call: who calls, what is offered to it, and the tasks behind that."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tsunagu.cli.why import facts
from tsunagu.mesh import rows, tls
from tsunagu.mesh.discovery import catalogue
from tsunagu.mesh.discovery.records import Audience, answer
from tsunagu.mesh.traffic.model import Forward
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.model.failures import why_ended
from tsunagu.model.statuses import ENDING, HealthStatus, NodeState, Status
from tsunagu.translate import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tsunagu.cli.why.target import Target
    from tsunagu.mesh import view as mesh_view
    from tsunagu.mesh.discovery.records import Directory
    from tsunagu.mesh.traffic.model import Destination, Rule
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True)
class Registry:
    """Every object at one revision, and the View of them."""

    objects: Sequence[Object]
    revision: int

    @cached_property
    def view(self) -> View:
        changes = ((ids.kind_of(obj), obj.meta.name, None, obj) for obj in self.objects)
        return View.empty().apply(changes, self.revision)[0]

    def of_kind(self, kind: str) -> list[Object]:
        return [obj for obj in self.objects if ids.kind_of(obj) == kind]

    @cached_property
    def revisions(self) -> dict[str, rows.RevisionRow]:
        return {obj.meta.name: rows.of_revision(obj) for obj in self.of_kind("ServiceRevision")}

    @cached_property
    def nodes(self) -> dict[str, Object]:
        return {obj.meta.name: obj for obj in self.of_kind("Node")}

    # -- the caller ---------------------------------------------------------------------------------------------------

    def caller(self, task: Object) -> facts.Caller:
        """The task that calls."""
        spec, status = task.task.spec, task.task.status
        revision = self.revisions.get(spec.service_revision)
        return facts.Caller(
            task=ids.task_id(task),
            service=spec.service or spec.gateway,
            namespace=spec.namespace or (revision.namespace if revision else ""),
            status="STOPPING" if _leaves(task) and status.last_status != Status.STOPPED else status.last_status,
            connect=bool(spec.gateway) or bool(revision and revision.connect),
            node=self.trouble_of_node(spec.node),
            stopped_reason=why_ended(task.task),
            proxy_state=status.proxy.state or "LIVE",
            proxy_restarts=status.proxy.restarts,
            backends=self._backends(revision),
            networks=tuple(node.node.task_cidr for node in self.nodes.values() if node.node.task_cidr),
            egress=self._egress(spec.namespace or (revision.namespace if revision else "")),
            proxy_exit_code=status.proxy.exit_code if status.proxy.HasField("exit_code") else None,
        )

    def _egress(self, namespace: str) -> tuple[str, ...]:
        found = (obj for obj in self.of_kind("Namespace") if obj.meta.name == namespace)
        return tuple(egress for obj in found for egress in obj.namespace.egress)

    def _backends(self, revision: rows.RevisionRow | None) -> tuple[str, ...]:
        """Its backends, and where their Routes lead."""
        if revision is None or not revision.backends:
            return ()
        return tuple(sorted(self.view.reachable(revision.namespace, revision.backends)))

    def records(self, name: str) -> tuple[str, ...] | None:
        """The addresses of a DNS name of Service Discovery, as tasks are told them; None when it is none."""
        found = answer(self._directory(), (name.lower(), "A"), Audience.TASK, lambda one, most: one[:most])
        return tuple(record.value for record in found.records) if found and found.exists else None

    def zone(self, name: str) -> str:
        """The DNS namespace in which a name lies; empty if it lies in none of the mesh."""
        found = self._directory().zone_of(name.lower())
        return found.name if found is not None else ""

    def _directory(self) -> Directory:
        return catalogue.of_state({kind: {obj.meta.name: obj for obj in self.of_kind(kind)} for kind in _DISCOVERY})

    # -- what is offered ----------------------------------------------------------------------------------------------

    def names(self, caller: Object, namespace: str) -> tuple[facts.Alias, ...]:
        """All that a namespace offers, as the caller may see it."""
        return tuple(self._alias(one, caller) for one in self.view.aliases(namespace))

    def elsewhere(self, caller: Object, namespace: str, name: str) -> tuple[facts.Alias, ...]:
        """The aliases of that name in other namespaces."""
        others = (one for one in self.view.namespaces() if one != namespace)
        found = (one for other in others for one in self.view.aliases(other) if _is_called(one, name))
        return tuple(self._alias(one, caller) for one in found)

    def _alias(self, one: mesh_view.Alias, caller: Object) -> facts.Alias:
        revision, outside = self.view.service_revision(one.revision), one.row.outside
        tls = outside.tls if outside else None
        return facts.Alias(
            namespace=one.namespace,
            name=one.dns_name,
            port=one.port,
            service=revision.service.rpartition("/")[2] if revision else one.row.discovery_name,
            protocol=one.row.protocol,
            ip=one.ip,
            discovery_name=one.row.discovery_name,
            container_port=one.row.container_port,
            request_timeout=one.row.request_timeout,
            idle_timeout=one.row.idle_timeout,
            leads=tuple(sorted({names.destination(one.namespace, to) for to in _destinations(self.view.table(one))})),
            answers=any(not isinstance(rule.action, Forward) for rule in self.view.table(one)),
            visible=self.view.visible(caller.meta.name, one.dns_name, one.port),
            external=f"{one.namespace}/{one.row.discovery_name}" if outside else "",
            resolved=tuple(f"{host}:{port}" for host, port in outside.resolved) if outside else (),
            tls=facts.ExternalTls(tls.names, own_authorities=bool(tls.authorities)) if tls else None,
        )

    def services(self) -> tuple[facts.Service, ...]:
        return tuple(map(self._service, self.of_kind("Service")))

    def _service(self, obj: Object) -> facts.Service:
        status = obj.service.status
        revision = self.revisions.get(status.revision)
        ports = revision.ports if revision else ()
        return facts.Service(
            name=obj.meta.name.rpartition("/")[2],
            namespace=revision.namespace if revision else "",
            connect=revision.connect if revision else obj.service.spec.service_connect_configuration.enabled,
            offers=tuple(alias for port in ports for alias in port.aliases),
            desired=obj.service.spec.desired_count,
            reason=status.reason,
        )

    # -- who serves it ------------------------------------------------------------------------------------------------

    def providers(self, alias: facts.Alias, discovery_name: str) -> tuple[facts.Provider, ...]:
        """The tasks, newest first, of every service with that discovery name, those that have stopped, too; then the
        endpoints that are no tasks.
        """
        found = [
            (task, port)
            for task in self.of_kind("Task")
            if (port := self.port_of(task, alias.namespace, discovery_name)) is not None
        ]
        found.sort(key=lambda pair: -pair[0].meta.created_revision)
        tasks = [self._provider(task, port) for task, port in found]
        known = {(one.ip, one.port) for one in tasks}
        offered = self.view.port(alias.namespace, discovery_name)
        resolved = offered.row.outside.resolved if offered and offered.row.outside else ()
        others = sorted({*resolved, *self.view.endpoints(alias.namespace, discovery_name)} - known)
        return (*tasks, *(facts.Provider(f"{ip}:{port}", ip=ip, port=port) for ip, port in others))

    def policy(self, namespace: str, discovery_name: str) -> str:
        """The TrafficPolicy of a discovery name; empty if it has none."""
        name = f"{namespace}/{discovery_name}"
        return name if any(one.meta.name == name for one in self.of_kind("TrafficPolicy")) else ""

    def port_of(self, task: Object, namespace: str, discovery_name: str) -> rows.PortRow | None:
        """The port with which a task serves a discovery name."""
        revision = self.revisions.get(task.task.spec.service_revision)
        if revision is None or revision.namespace != namespace:
            return None
        return next((port for port in revision.ports if port.discovery_name == discovery_name), None)

    def _provider(self, task: Object, port: rows.PortRow) -> facts.Provider:
        row, status, spec = rows.of_task(task), task.task.status, task.task.spec
        stopped = status.last_status == Status.STOPPED
        failed = stopped and status.stop_code not in _ASKED
        spoken = bool(self.view.peers(spec.namespace, port.discovery_name))
        return facts.Provider(
            task=ids.task_id(task),
            status=status.last_status or Status.PROVISIONING,
            health=status.health_status or HealthStatus.UNKNOWN,
            ip=status.ip,
            port=tls.port_of(row, port, secured=spoken) or port.endpoint_port,
            tls=spoken and port.port_name in row.ready,
            plain_port=port.endpoint_port,
            serving=row.serving and self.view.node_alive(spec.node),
            stopping=_leaves(task),
            waits_for=status.waits_for,
            failure=why_ended(task.task) if failed or not stopped else "",
            check=_check(task),
            ended=time.time() - status.stopped_at.seconds if stopped and status.stopped_at.seconds else None,
            node=self.trouble_of_node(spec.node),
        )

    # -- TLS ----------------------------------------------------------------------------------------------------------

    def tls_alone(self) -> tuple[str, ...]:
        """IP:PORT of the ports of tasks that take TLS and nothing else: where it is taken, and where plaintext is not any more."""
        found = ((rows.of_task(task), task) for task in self.of_kind("Task") if task.task.status.tls.alone)
        return tuple(
            f"{row.ip}:{at}"
            for row, task in found
            if task.task.spec.service_revision in self.revisions
            for port in self.revisions[task.task.spec.service_revision].ports
            if port.port_name in row.alone
            for at in (port.tls_port, port.endpoint_port)
        )

    def identity(self, task: Object, shown: facts.Certificate | None) -> facts.Identity:
        """What the control plane knows of a task's identity, beside what its Envoy shows."""
        held = task.task.status.identity
        bundles = (obj.trust_bundle for obj in self.of_kind("TrustBundle"))
        in_force = {one.fingerprint for bundle in bundles for one in bundle.authorities}
        return facts.Identity(ids.task_id(task), held.serial.lstrip("0"), held.issuer in in_force, held.problem, shown)

    def trouble_of_node(self, name: str) -> str:
        """Why a node is not READY, or that it is gone; empty when it is ready."""
        node = self.nodes.get(name)
        if node is None:
            return f"the node {name or 'of the task'} is gone"
        return node.node.reason or "it is NOT_READY" if node.node.state == NodeState.NOT_READY else ""


_DISCOVERY = ("Namespace", "CloudMapService", "CloudMapInstance", "ServiceRevision", "Task")
#: Ends that somebody asked for.
_ASKED = frozenset({"ServiceSchedulerInitiated", "UserInitiated"})


def alias_of(target: Target, names: Iterable[facts.Alias]) -> facts.Alias | None:
    """The alias that a call to the target goes to."""
    return next((one for one in names if target.port == one.port and target.name in {one.name, one.ip}), None)


def _destinations(table: Iterable[Rule]) -> Iterator[Destination]:
    for rule in table:
        if isinstance(rule.action, Forward):
            yield from (weighted.to for weighted in rule.action.targets)


def _is_called(one: mesh_view.Alias, name: str) -> bool:
    return name in {one.dns_name, one.row.discovery_name, f"{one.row.discovery_name}.{one.namespace}"}


def _leaves(task: Object) -> bool:
    return task.task.spec.desired_status == Status.STOPPED or task.task.status.last_status in ENDING


def _check(task: Object) -> str:
    """What the failed check of an UNHEALTHY container said; empty when none is."""
    for one in task.task.status.containers:
        if one.health_status == HealthStatus.UNHEALTHY and one.HasField("health_output"):
            result = one.health_output
            how = "did not end in time" if result.timed_out else f"ended with {result.exit_code}"
            return how + (f": {result.output}" if result.output else "")
    return ""
