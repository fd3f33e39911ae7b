"""What a task definition asks for that reaches beyond its own containers, and is run only where a user allowed it.

A file that was written for another machine gets no power over this one by being applied. The one rule: what this module finds
is refused until whoever starts the mesh says its word (`tsunagu up --allow WORD`), and everything else of a definition stays
inside of its task. The registry refuses it when it is applied, the node agent once more when it is run. The linux runtime,
whose containers have no more rights than their user, gives none of it to anybody.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from tsunagu.v1 import ecs_pb2

PRIVILEGED, BINDS, HOST_NAMESPACES = "privileged", "binds", "host-namespaces"

#: Word of --allow -> what it gives.
WORDS = {
    PRIVILEGED: "a container may do what root of this machine may",
    BINDS: "a container sees a folder of this machine outside of the project's",
    HOST_NAMESPACES: "a container sees processes or memory of this machine",
}
#: Capabilities that end at the container's own namespaces, files and processes: capabilities(7).
_HARMLESS = frozenset(
    [
        *(
            "AUDIT_WRITE",
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "IPC_LOCK",
            "IPC_OWNER",
            "KILL",
            "LEASE",
            "MKNOD",
        ),
        *("NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID"),
        *("SYS_CHROOT", "SYS_NICE", "SYS_PTRACE", "SYS_RESOURCE", "SYS_TTY_CONFIG"),
    ]
)


@dataclass(frozen=True, slots=True)
class Demand:
    """A demand of a task definition: the word that allows it, its path in the definition, what it asks for."""

    word: str
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.what}: {WORDS[self.word]}"

    @property
    def remedy(self) -> str:
        return f"if you trust this file, start the mesh with --allow {self.word}"


def refused(
    definition: ecs_pb2.RegisterTaskDefinitionRequest,
    project: str,
    allowed: Collection[str],
    resolve: Callable[[str], str] = posixpath.normpath,
) -> Iterator[Demand]:
    """Yield the demands that were not allowed.

    ``project``: the absolute folder whose content a task may always see. ``resolve``: path -> the path that it really means;
    who opens it has to follow links, as whoever only reads the definition cannot.
    """
    for demand in _demands(definition, project, resolve):
        if demand.word not in allowed:
            yield demand


def _demands(
    definition: ecs_pb2.RegisterTaskDefinitionRequest, project: str, resolve: Callable[[str], str]
) -> Iterator[Demand]:
    for field, mode in (("pidMode", definition.pid_mode), ("ipcMode", definition.ipc_mode)):
        if mode == "host":
            yield Demand(HOST_NAMESPACES, field, f"{field} is host")
    for index, volume in enumerate(definition.volumes):
        for field, source in _folders(volume):
            if not (project and is_inside(resolve(source), resolve(project))):
                where = f"which is not in {project}" if project else "and no folder is the project's"
                yield Demand(BINDS, f"volumes[{index}].{field}", f"volume {volume.name!r} is {source}, {where}")
    for index, container in enumerate(definition.container_definitions):
        for field, what in _privileges(container):
            yield Demand(PRIVILEGED, f"containerDefinitions[{index}].{field}", f"container {container.name!r} {what}")


def _folders(volume: ecs_pb2.Volume) -> Iterator[tuple[str, str]]:
    """Yield (field, path of this machine); Docker's own driver also mounts a folder, when its options name one."""
    if volume.host.source_path:
        yield "host.sourcePath", volume.host.source_path
    device = volume.docker_volume_configuration.driver_opts.get("device", "")
    if device.startswith("/"):
        yield "dockerVolumeConfiguration.driverOpts.device", device


def _privileges(container: ecs_pb2.ContainerDefinition) -> Iterator[tuple[str, str]]:
    """Yield (field, what the container is or has) for what makes it root of the machine, or could."""
    linux = container.linux_parameters
    if container.privileged:
        yield "privileged", "is privileged"
    if added := sorted({word.upper().removeprefix("CAP_") for word in linux.capabilities.add} - _HARMLESS):
        yield "linuxParameters.capabilities.add", f"adds {_named(added)}"
    if linux.devices:
        yield "linuxParameters.devices", f"has the device {_named(one.host_path for one in linux.devices)}"
    if loose := [one for one in container.docker_security_options if "unconfined" in one or "disable" in one]:
        yield "dockerSecurityOptions", f"has {_named(loose)}"


def _named(words: Iterable[str]) -> str:
    return ", ".join(words)


def is_inside(path: str, folder: str) -> bool:
    """Whether an absolute path is the folder or in it, by their words alone."""
    path, folder = posixpath.normpath(path), posixpath.normpath(folder)
    return path.startswith("/") and (path == folder or path.startswith(folder.rstrip("/") + "/"))
