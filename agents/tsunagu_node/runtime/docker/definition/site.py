"""What the containers of one task share: how they are named and labelled, and where their files are. Pure.

Rule: names and labels are made here and nowhere else. A container is found by its labels; its name only keeps two node agents
from making the same one twice.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tsunagu_node.runtime.docker.definition.places import Composed, Places, of_machine, of_volumes

MESH: Final = "tsunagu.mesh"
TASK: Final = "tsunagu.task"
PROCESS: Final = "tsunagu.process"
BODY: Final = "tsunagu.body"
PAUSE: Final = ".pause"
KILLER: Final = ".killer"
ROUTER: Final = ".router"
"""Names of processes of our own: a container definition's may have no dot at its beginning."""
_LOG_SIZE: Final = {"max-size": "10m", "max-file": "2"}


@dataclass(frozen=True, slots=True)
class Traits:
    """What differs from one engine to another. `log_driver`: one whose logs can be read. `userns`: containers have user ids of
    their own unless they are told otherwise. `selinux`: the kernel labels files.
    """

    log_driver: str = "local"
    userns: bool = False
    selinux: bool = False

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "Traits":
        """Take them from the answer to /info."""
        drivers = (info.get("Plugins") or {}).get("Log") or ()
        security = " ".join(info.get("SecurityOptions") or ())
        return cls(
            "local" if "local" in drivers else "json-file", "name=userns" in security, "name=selinux" in security
        )


@dataclass(frozen=True, slots=True)
class Site:
    """One task. `mesh`: the name of the mesh among others on the machine. `home`: the mesh's directory, `folder`: its node's own. `owner`: UID:GID of
    whoever runs the node agent. `labels`: more of them, for each container. `composed`: None where the agent is no container.
    """

    mesh: str
    task: str
    home: Path
    folder: Path
    owner: str
    traits: Traits = Traits()
    labels: Mapping[str, str] = field(default_factory=dict)
    composed: Composed | None = None

    @property
    def places(self) -> Places:
        """Return where its files are."""
        if self.composed is None:
            return of_machine(self.home, self.directory)
        return of_volumes(self.composed, self.container(".task"), {MESH: self.mesh, TASK: self.task})

    @property
    def directory(self) -> Path:
        return self.folder / "tasks" / self.task

    def container(self, process: str) -> str:
        """Return the name of the container of a process."""
        return f"{network(self.mesh)}-{self.task}-{process}"

    def volume(self, name: str) -> str:
        """Return the name of a volume that lives as long as the task."""
        return f"{network(self.mesh)}-{self.task}-volume-{name}"

    def labelled(self, process: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**(more or {}), **self.labels, MESH: self.mesh, TASK: self.task, PROCESS: process}

    def host(self) -> dict[str, Any]:
        """Return the part of a HostConfig that every container has."""
        log = {"Type": self.traits.log_driver, "Config": _LOG_SIZE}
        shared: dict[str, Any] = {"RestartPolicy": {"Name": "no"}, "LogConfig": log}
        if self.traits.userns:
            shared["UsernsMode"] = "host"  # of one network namespace, all must have the same user ids
        return shared

    def security(self, *options: str) -> dict[str, Any]:
        """Return the security options of a container that finds files of the mesh's directory."""
        chosen = [*options, *(["label=disable"] if self.traits.selinux else [])]
        return {"SecurityOpt": chosen} if chosen else {}


def mesh_name(home: Path) -> str:
    """Return the name of the mesh in this directory among all meshes of the machine."""
    return hashlib.sha256(str(home).encode()).hexdigest()[:12]


def network(mesh: str) -> str:
    """Return the name of the network of a mesh, with which its containers' names begin."""
    return f"tsunagu-{mesh}"


def sealed(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with a label that tells it from any other: a container with the same one can be started again."""
    text = json.dumps(body, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {**body, "Labels": {**body["Labels"], BODY: digest}}
