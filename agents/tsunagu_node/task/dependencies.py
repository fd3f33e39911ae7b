"""What a task controller depends on, in one frozen value: made once, in `main`."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tsunagu.kit import tokens
from tsunagu_node.control import ControlPlane, Refused
from tsunagu_node.dns.name_server import NameServers
from tsunagu_node.identity.host_identity import HostIdentities
from tsunagu_node.identity.task_identity import TaskIdentity
from tsunagu_node.identity.trust import Trust
from tsunagu_node.outside.egress import Outside
from tsunagu_node.runtime.contract import RunningTask, Runtime, RuntimeFailed
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.signals.collector import Collector
from tsunagu_node.signals.place import place_of, source_of
from tsunagu_node.signals.relay_collector import RelayCollector
from tsunagu_node.task import authorities
from tsunagu_node.task.calls.modes import Modes
from tsunagu_node.task.envoy import NAME as ENVOY
from tsunagu_node.task.envoy import Proxy, Sidecar
from tsunagu_node.task.names import Names
from tsunagu_node.task.output import log_streams
from tsunagu_node.task.output.last_line import last_line
from tsunagu_node.task.process_names import process_of
from tsunagu_node.task.spec import TaskSpec
from tsunagu_sidecar.bootstrap import DELTA, Settings


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`collector`: reads the stats of the tasks' Envoys, `relay_collector` what left the mesh from them. `environment`: what a container starts with
    that has the machine's own files. `envoy`: path of the binary. `key`: signs the tokens of tasks. `hosts`: the identities with which this
    machine calls. `variant`: of xDS, that tasks' Envoys speak. `modes`: how the tasks of each namespace speak with each other.
    """

    folders: Folders
    runtime: Runtime
    control: ControlPlane
    names: Names
    name_servers: NameServers
    outside: Outside
    collector: Collector
    relay_collector: RelayCollector
    environment: Mapping[str, str]
    envoy: str
    key: bytes
    hosts: HostIdentities
    variant: str = DELTA
    modes: Modes = field(default_factory=Modes)

    @property
    def trust(self) -> Trust:
        """Which namespaces have identities, by which authorities."""
        return self.hosts.trust

    def identity(self, spec: TaskSpec, changed: Callable[[], None]) -> TaskIdentity:
        """Return what keeps the certificate of a task's proxy."""
        return TaskIdentity(spec, self.trust, self.control.issue, self.key, changed)

    def directory(self, task_id: str) -> Path:
        """Return the folder of what the node agent itself keeps of a task."""
        return self.folders.task(task_id)

    def link_proxy_log(self, spec: TaskSpec) -> None:
        """Let the log of the task's proxy be found by its log group too, if it has one. Raises OSError."""
        if spec.revision.HasField("proxy_log"):
            file = self.runtime.log_directory(spec.id) / f"{ENVOY}.log"
            log_streams.link(self.folders.mesh, spec.revision.proxy_log, spec.id, file)

    def last_line(self, task_id: str) -> Callable[[str], str]:
        """Return what reads the last line that a container of a task has written."""
        return lambda container: last_line(self.runtime.log_directory(task_id) / f"{process_of(container)}.log")

    def started_with(self, task_id: str) -> Mapping[str, str]:
        """Return what every container of a task starts with; where it has an image, that says so."""
        return {} if self.runtime.has_images else {**self.environment, "HOSTNAME": task_id}

    async def create(self, spec: TaskSpec) -> RunningTask:
        """Return the new task, which reaches of the world outside what its namespace says. Raises RuntimeFailed."""
        egress = await self.outside.begin(spec.id, spec.namespace)
        task = await self.runtime.create(spec.id, replace(spec.network, egress=egress))
        await self.outside.begun(spec.id)
        self.relay_collector.begin(source_of(spec, relay=True), new=True)
        return task

    def adopt(self, spec: TaskSpec) -> None:
        """A task runs already: what it may reach outside, what is counted of that, and its machine's identity go on."""
        self.outside.adopt(spec.id, spec.namespace)
        self.relay_collector.begin(source_of(spec, relay=True), new=False)
        if spec.revision.registrations:
            self.hosts.expect(spec.namespace)

    def sidecar(self, spec: TaskSpec, task: RunningTask) -> Sidecar:
        """Return how the Envoy of `task` is started."""
        settings = Settings(
            task=spec.name,
            cluster=f"{spec.task.spec.service or spec.task.spec.gateway}.{spec.namespace}",
            token=tokens.mint(self.key, spec.name),
            xds_socket=self.runtime.xds_socket,
            admin_socket=task.admin_endpoint.bind,
            log_level=spec.revision.proxy_log_level or "info",
            variant=self.variant,
        )
        return Sidecar(
            self.envoy,
            settings,
            tuple(spec.listeners),
            lambda: self._incarnation(spec.name),
            tuple({**spec.certificates, **authorities.files()}.items()),
        )

    def observe(self, spec: TaskSpec, task: RunningTask, proxy: Proxy) -> None:
        """Have the stats of a task's Envoy read from now on."""
        self.collector.begin(place_of(spec, task, proxy))

    def _incarnation(self, name: str) -> str:
        """Return a token for one start of a task's Envoy, by which the control plane knows that start from others."""
        return tokens.mint(self.key, tokens.incarnate(name, time.time_ns() // 1_000_000))

    async def secret(self, value_from: str) -> str:
        """Return the value of a secret. Raises RuntimeFailed when there is none."""
        try:
            obj = await self.control.get("SecretValue", value_from)
        except Refused as error:
            raise RuntimeFailed(f"ResourceInitializationError: {error}") from error
        if obj is None:
            raise RuntimeFailed(f"ResourceInitializationError: there is no SecretValue {value_from!r}")
        return os.fsdecode(obj.secret_value.value)
