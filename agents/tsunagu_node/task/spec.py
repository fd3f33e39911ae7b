"""What a task is made from, saved in the task's directory so that a restarted node agent does not need the registry for it.

Rule: it is saved once, before anything of the task exists. What follows from it is computed each time.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tsunagu.v1 import objects_pb2
from tsunagu_node.runtime.contract import CERTIFICATES, Capture, Network, PublishedPort, Redirect
from tsunagu_node.task.status_writer import FILE as STATUS
from tsunagu_sidecar.idle import IngressPort

_TASK: Final = "task.pb"
_REVISION: Final = "revision.pb"
_LOCAL: Final = "127.0.0.1"
_LOCALHOST: Final = "localhost"  # as hosts files call it
_VIPS: Final = ("127.255.0.0", 16)
CAPTURE_PORT: Final = 15001
METADATA: Final = Capture("169.254.170.2", 32, 15002)
"""What leads to the task metadata endpoint: the address at which AWS has it, and the port of the task that answers."""
DNS_PORT: Final = 15003
NAME_SERVER: Final = "169.254.169.253"
"""The address of a task's name server, which is that of a VPC's on AWS; what is sent there the node agent answers at DNS_PORT."""
DNS: Final[tuple[Redirect | Capture, ...]] = (
    Capture(NAME_SERVER, 32, DNS_PORT, "udp"),
    Capture(NAME_SERVER, 32, DNS_PORT),
)
GATEWAY_DRAIN: Final = 10.0
_HTTP: Final = frozenset({"http", "http2", "grpc"})


def task_id(name: str) -> str:
    """Return the last part of a task's name."""
    return name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task with the service revision that it is made from; that of a gateway's task is empty."""

    name: str
    task: objects_pb2.Task
    revision: objects_pb2.ServiceRevision

    @property
    def id(self) -> str:
        """The last part of its name; its directory and its host name are called so."""
        return task_id(self.name)

    @property
    def gateway(self) -> bool:
        return bool(self.task.spec.gateway)

    @property
    def namespace(self) -> str:
        return self.task.spec.namespace or self.revision.namespace

    @property
    def names_until(self) -> int | None:
        """The registry revision up to which it sees the births of names; None: it sees live names."""
        return self.task.spec.deployment if self.revision.frozen else None

    @property
    def has_proxy(self) -> bool:
        return self.revision.connect or self.gateway

    @property
    def drain_timeout(self) -> float:
        """Seconds."""
        return GATEWAY_DRAIN if self.gateway else float(self.revision.drain_timeout_seconds)

    @property
    def app_ports(self) -> frozenset[int]:
        """The container ports at which something has to listen before the task is admitted."""
        return frozenset(port.container_port for port in self.revision.ports)

    @property
    def ingress(self) -> Sequence[IngressPort]:
        return tuple(
            IngressPort(port.port_name, port.ingress_port, port.app_protocol in _HTTP) for port in self.revision.ports
        )

    @property
    def listeners(self) -> Sequence[Sequence[str]]:
        """What its proxy needs before containers may start: of each group a listener whose name begins so."""
        if self.gateway:
            return tuple(
                (
                    f"alias/{self.namespace}/{port.alias}:{port.port}"
                    if port.alias
                    else f"gateway/{self.task.spec.gateway}:{port.host_port}",
                )
                for port in self.task.spec.publish
            )
        revision = self.task.spec.service_revision
        ports = (port.port_name for port in self.revision.ports)
        return tuple((f"in/{revision}/{name}", f"tls/{revision}/{name}") for name in ports)

    @property
    def links(self) -> Mapping[str, str]:
        """Name -> IP of the containers that others link to: in one network namespace each is at localhost."""
        links = (link for one in self.revision.task_definition.container_definitions for link in one.links)
        return {name: _LOCAL for link in links for name in link.split(":") if name}

    @property
    def certificates(self) -> Mapping[str, str]:
        """Files that its proxy needs beside its configuration, as the control plane calls them -> files of the machine."""
        files = {}
        for port in self.task.spec.publish:
            if port.HasField("tls"):
                files[f"{CERTIFICATES}{port.host_port}.crt"] = port.tls.certificate_chain
                files[f"{CERTIFICATES}{port.host_port}.key"] = port.tls.private_key
        return files

    @property
    def network(self) -> Network:
        """Calls to names are captured, calls to its service ports go through its proxy; a gateway publishes ports."""
        definition, builds = self.revision.task_definition, self.revision.builds
        answered: tuple[Redirect | Capture, ...] = (METADATA, *DNS)
        own = Network(answered, (), definition, builds, (METADATA.to, DNS_PORT), (DNS_PORT,), NAME_SERVER)
        if not self.has_proxy:
            return own
        redirects = (Redirect(port.container_port, port.ingress_port) for port in self.revision.ports if port.intercept)
        published = (
            PublishedPort(port.host or _LOCAL, port.host_port, port.alias, port.port)
            if port.alias
            else PublishedPort(port.host or _LOCAL, port.host_port, _LOCALHOST, port.host_port)
            for port in self.task.spec.publish
        )
        names = Capture(*_VIPS, CAPTURE_PORT)
        if self.gateway:
            return Network((names, *redirects), tuple(published))
        return replace(own, nat=(names, *answered, *redirects))

    def save(self, directory: Path) -> None:
        """Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, message in ((_TASK, self.task), (_REVISION, self.revision)):
            fd = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(message.SerializeToString())


def for_runtime(revision: objects_pb2.ServiceRevision, *, has_images: bool) -> objects_pb2.ServiceRevision:
    """Return the revision with one task definition: that of a runtime which has images, or of one which has none."""
    chosen = objects_pb2.ServiceRevision()
    chosen.CopyFrom(revision)
    if has_images and revision.HasField("image_task_definition"):
        chosen.task_definition.CopyFrom(revision.image_task_definition)
    chosen.ClearField("image_task_definition")
    return chosen


def load(directory: Path) -> TaskSpec | None:
    """Return what was saved in `directory`, with the last reported status; None when a part of it is missing."""
    try:
        task = objects_pb2.Task.FromString((directory / _TASK).read_bytes())
        revision = objects_pb2.ServiceRevision.FromString((directory / _REVISION).read_bytes())
        task.status.ParseFromString((directory / STATUS).read_bytes())
    except FileNotFoundError:
        return None
    return TaskSpec(f"{task.spec.cluster}/{directory.name}", task, revision)


def forget(directory: Path) -> None:
    """Take away what was saved of a task that is no more."""
    for name in (_TASK, _REVISION):
        with suppress(OSError):  # what cannot be taken away harms nobody
            (directory / name).unlink()
