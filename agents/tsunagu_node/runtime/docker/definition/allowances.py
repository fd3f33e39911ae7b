"""What a task definition asks for that reaches beyond its containers, against what was allowed. Pure.

Rule: a file that was written for another machine gets no power over this one by being applied: what makes a container the
machine's equal has to be allowed by name (`--allow`). The message says what, and how.
"""

import os
from pathlib import Path
from typing import Final

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition import volumes
from tsunagu_node.runtime.docker.settings import Allowed, Settings

_HARMLESS: Final = frozenset(
    [
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
        "NET_ADMIN",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
        "SYS_NICE",
        "SYS_PTRACE",
        "SYS_RESOURCE",
        "SYS_TTY_CONFIG",
    ]
)
"""Capabilities that end at the container's own namespaces, files and processes."""


def check(name: str, container: ecs_pb2.ContainerDefinition, settings: Settings) -> None:
    """Raises RuntimeFailed when the container asks for what is not allowed, or what there is not."""
    added = {word.removeprefix("CAP_") for word in container.linux_parameters.capabilities.add}
    asked = [
        ("privileged", container.privileged),
        (f"linuxParameters.capabilities.add {', '.join(sorted(added - _HARMLESS))}", added - _HARMLESS),
        ("linuxParameters.devices", container.linux_parameters.devices),
        ("dockerSecurityOptions", [one for one in container.docker_security_options if "unconfined" in one]),
    ]
    for what, given in asked:
        if given and Allowed.PRIVILEGED not in settings.allow:
            raise RuntimeFailed(_refusal(f"container {name} asks for {what}", Allowed.PRIVILEGED))
    if any(one.type == "GPU" for one in container.resource_requirements):
        raise RuntimeFailed(f"container {name} asks for a GPU (resourceRequirements), which this runtime cannot give")


def check_task(task: ecs_pb2.RegisterTaskDefinitionRequest, settings: Settings) -> None:
    """Raises RuntimeFailed when the task asks for what is not allowed."""
    for field, mode in (("pidMode", task.pid_mode), ("ipcMode", task.ipc_mode)):
        if mode == "host" and Allowed.HOST_NAMESPACES not in settings.allow:
            raise RuntimeFailed(_refusal(f"the task asks for {field} host", Allowed.HOST_NAMESPACES))
    for path in volumes.host_paths(task):
        if Allowed.BINDS not in settings.allow and not _is_within(path, settings.project):
            inside = f", which is not in {settings.project}" if settings.project else ""
            raise RuntimeFailed(_refusal(f"a volume of the task is {path} of this machine{inside}", Allowed.BINDS))


def _refusal(what: str, allowed: Allowed) -> str:
    return f"{what}: whoever starts the mesh has to allow it (--allow {allowed.value})"


def _is_within(path: str, folder: str) -> bool:
    """Return whether the path lies in the folder, whatever links lead to it."""
    return bool(folder) and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
