"""What an engine is asked for a container definition: a table from ECS's fields to the members of the API's body. Pure.

Rule: a row for each field, and what is not given is left out, so that the image's own setting holds (`[]` would clear it).
What only the holder of the network can have (hostname, DNS, net.* sysctls, published ports) is pause's, in `bodies`.
Members are those of the Docker Engine API (POST /containers/create); docs/ecs-fields.md says what each field does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import Image, Process
from tsunagu_node.runtime.docker.definition import sizes, volumes
from tsunagu_node.runtime.docker.definition.site import Site, sealed
from tsunagu_node.task.process_names import process_of

_MIB: Final = 1024 * 1024
_LEAST_SHARES: Final = 2  # the kernel's; ECS gives no less either
_MODES: Final = {"read": "r", "write": "w", "mknod": "m"}
_NO_NETWORK: Final = "none"


@dataclass(frozen=True, slots=True)
class Asked:
    """A container to be made: its process, what its task definition says, and where its task is.

    `pause`: the ID of the container that holds the network. `mounts`: files of the mesh that it is shown.
    """

    site: Site
    process: Process
    image: Image
    pause: str
    task: ecs_pb2.RegisterTaskDefinitionRequest
    mounts: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def container(self) -> ecs_pb2.ContainerDefinition:
        return self.image.definition or ecs_pb2.ContainerDefinition()


class Row(NamedTuple):
    """`field`: of RegisterTaskDefinition (`task.`) or of a container definition. `members`: what the body gets for it."""

    field: str
    members: Callable[[Asked], Mapping[str, Any]]


def _when(member: str, value: Any) -> dict[str, Any]:
    return {member: value} if value else {}


def _mapped(names: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in names.items()]


def _memory(asked: Asked) -> int:
    """Return bytes: a container's own limit, else the task's, which none of its containers may exceed."""
    return asked.container.memory * _MIB or sizes.memory(asked.task.memory)


def _swap(asked: Asked) -> dict[str, Any]:
    linux, limit = asked.container.linux_parameters, _memory(asked)
    if not (linux.HasField("max_swap") and limit):
        return {}  # ECS ignores swappiness without maxSwap
    swappiness = {"MemorySwappiness": linux.swappiness} if linux.HasField("swappiness") else {}
    return {"MemorySwap": limit + linux.max_swap * _MIB, **swappiness}


def _pid_mode(asked: Asked) -> dict[str, Any]:
    modes = {"task": f"container:{asked.pause}", "host": "host"}
    return _when("PidMode", modes.get(asked.task.pid_mode))


def _ipc_mode(asked: Asked) -> dict[str, Any]:
    modes = {"task": f"container:{asked.pause}", "host": "host", "none": "none"}
    return _when("IpcMode", modes.get(asked.task.ipc_mode))


def _devices(asked: Asked) -> dict[str, Any]:
    devices = [
        {
            "PathOnHost": one.host_path,
            "PathInContainer": one.container_path or one.host_path,
            "CgroupPermissions": "".join(_MODES[word] for word in one.permissions) or "rwm",
        }
        for one in asked.container.linux_parameters.devices
    ]
    return _when("Devices", devices)


def _tmpfs(asked: Asked) -> dict[str, Any]:
    found = asked.container.linux_parameters.tmpfs
    return _when("Tmpfs", {one.container_path: ",".join([f"size={one.size}m", *one.mount_options]) for one in found})


def _sysctls(asked: Asked) -> dict[str, Any]:
    own = {one.namespace: one.value for one in asked.container.system_controls if not one.namespace.startswith("net.")}
    return _when("Sysctls", own)


def _volumes_from(asked: Asked) -> dict[str, Any]:
    sources = [
        f"{asked.site.container(process_of(one.source_container))}:{'ro' if one.read_only else 'rw'}"
        for one in asked.container.volumes_from
    ]
    return _when("VolumesFrom", sources)


def _ulimits(asked: Asked) -> dict[str, Any]:
    limits = [{"Name": one.name, "Soft": one.soft_limit, "Hard": one.hard_limit} for one in asked.container.ulimits]
    return _when("Ulimits", limits)


def _network(asked: Asked) -> dict[str, Any]:
    return {"NetworkMode": _NO_NETWORK if asked.container.disable_networking else f"container:{asked.pause}"}


CONFIG: Final = (
    Row("image", lambda asked: {"Image": asked.image.reference}),
    Row("entryPoint", lambda asked: _when("Entrypoint", list(asked.image.entrypoint))),
    Row("command", lambda asked: _when("Cmd", list(asked.image.command))),
    Row("environment", lambda asked: _when("Env", _mapped(asked.process.env))),
    Row("user", lambda asked: _when("User", asked.container.user)),
    Row("workingDirectory", lambda asked: _when("WorkingDir", asked.process.cwd)),
    Row("pseudoTerminal", lambda asked: _when("Tty", asked.container.pseudo_terminal)),
    Row("interactive", lambda asked: _when("OpenStdin", asked.container.interactive)),
    Row(
        "dockerLabels", lambda asked: {"Labels": asked.site.labelled(asked.process.name, asked.container.docker_labels)}
    ),
    # Checks are run by the node agent; the image's own would be run besides.
    Row("healthCheck", lambda _: {"Healthcheck": {"Test": ["NONE"]}}),
)
HOST: Final = (
    Row("disableNetworking", _network),
    Row("memory", lambda asked: _when("Memory", _memory(asked))),
    Row("memoryReservation", lambda asked: _when("MemoryReservation", asked.container.memory_reservation * _MIB)),
    Row("cpu", lambda asked: _when("CpuShares", asked.container.cpu and max(_LEAST_SHARES, asked.container.cpu))),
    Row("task.cpu", lambda asked: _when("NanoCpus", sizes.nano_cpus(asked.task.cpu))),
    Row("task.pidMode", _pid_mode),
    Row("task.ipcMode", _ipc_mode),
    Row("privileged", lambda asked: _when("Privileged", asked.container.privileged)),
    Row("readonlyRootFilesystem", lambda asked: _when("ReadonlyRootfs", asked.container.readonly_root_filesystem)),
    Row("dockerSecurityOptions", lambda asked: asked.site.security(*asked.container.docker_security_options)),
    Row("ulimits", _ulimits),
    Row("systemControls", _sysctls),
    Row("volumesFrom", _volumes_from),
    Row(
        "mountPoints",
        lambda asked: _when("Mounts", [*volumes.mounts(asked.site, asked.task, asked.container), *asked.mounts]),
    ),
    Row(
        "linuxParameters.initProcessEnabled",
        lambda asked: _when("Init", asked.container.linux_parameters.init_process_enabled),
    ),
    Row(
        "linuxParameters.capabilities.add",
        lambda asked: _when("CapAdd", list(asked.container.linux_parameters.capabilities.add)),
    ),
    Row(
        "linuxParameters.capabilities.drop",
        lambda asked: _when("CapDrop", list(asked.container.linux_parameters.capabilities.drop)),
    ),
    Row("linuxParameters.devices", _devices),
    Row("linuxParameters.tmpfs", _tmpfs),
    Row(
        "linuxParameters.sharedMemorySize",
        lambda asked: _when("ShmSize", asked.container.linux_parameters.shared_memory_size * _MIB),
    ),
    Row("linuxParameters.maxSwap", _swap),
)


def body(asked: Asked) -> dict[str, Any]:
    """Return the body of the request that makes the container."""
    config: dict[str, Any] = {}
    for row in CONFIG:
        config |= row.members(asked)
    host = asked.site.host()
    for row in HOST:
        host |= row.members(asked)
    return sealed({**config, "HostConfig": host})
