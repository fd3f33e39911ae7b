"""The containers of a mesh whose node has the docker runtime: to kill one, and to prove afterwards that none was left.

Rule: found by asking the engine for the mesh's label, as `docker ps --filter label=tsunagu.mesh=...` would; the mesh itself is
not asked. A container's process may belong to any user, so the engine sends the signals.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu_node.runtime.contract import RELAY
from tsunagu_node.runtime.docker.definition.site import KILLER, MESH, PAUSE, PROCESS, TASK, mesh_name
from tsunagu_node.runtime.docker.engine import answers, engine_api

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

#: What `Mesh.kill` calls a process -> what its container is called. Every other container is an app's.
OURS: Final[Mapping[str, str]] = {"init": PAUSE, "envoy": "envoy", "relay": RELAY, "killer": KILLER}
_RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a mesh. `process`: the name of the process of the task that it is, e.g. of a container definition."""

    id: str
    name: str
    task: str
    process: str
    running: bool


class Containers:
    """The containers, volumes and networks of the mesh in `home`, at the engine that its node uses in `environment`."""

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None) -> None:
        self._label = f"{MESH}={mesh_name(home)}"
        self._socket = answers.endpoint("", {**os.environ, **(environment or {})})

    def all(self) -> list[Container]:
        """Those that there are now, the oldest first. Raises OSError when the engine does not answer."""
        found = engine_api.call(self._socket, "GET", engine_api.filtered("/containers/json", self._label, "all=1&"))
        return [_container(one) for one in reversed(found)]

    def kill(self, kind: str, task: str, number: signal.Signals) -> bool:
        """Send a signal to `init` (the container that holds the network), `envoy`, `relay` or `app` (its first) of a task.

        Return whether there was one that runs.
        """
        running = (one for one in self.all() if one.task == task and one.running)
        found = next((one for one in running if _kind(one) == kind), None)
        if found is None:
            return False
        try:
            engine_api.call(self._socket, "POST", f"/containers/{found.id}/kill?signal={number.value}")
        except engine_api.Refused as error:
            if error.status not in (404, 409):  # it has just ended
                raise
        return True

    def left_behind(self) -> list[str]:
        """One line for each thing of the mesh that the engine still has."""
        volumes = engine_api.call(self._socket, "GET", engine_api.filtered("/volumes", self._label)) or {}
        networks = engine_api.call(self._socket, "GET", engine_api.filtered("/networks", self._label))
        return [
            *(f"container {one.name}" for one in self.all()),
            *(f"volume {one['Name']}" for one in volumes.get("Volumes") or ()),
            *(f"network {one['Name']}" for one in networks),
        ]


def _container(listed: Mapping[str, Any]) -> Container:
    labels = listed["Labels"]
    name = listed["Names"][0].removeprefix("/") if listed.get("Names") else listed["Id"][:12]
    return Container(listed["Id"], name, labels.get(TASK, ""), labels.get(PROCESS, ""), listed["State"] == _RUNNING)


def _kind(container: Container) -> str:
    return next((kind for kind, process in OURS.items() if process == container.process), "app")
