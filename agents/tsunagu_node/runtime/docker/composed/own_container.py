"""What a process learns of the container that it runs in, by asking the engine: the project it belongs to, and its volumes.

Compose gives both names, and tells them to nobody inside; the node agent needs them for the containers that it makes beside
itself. Rule: standard library only, for the janitor asks as well.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.engine import engine_api

_PROJECT: Final = "com.docker.compose.project"


@dataclass(frozen=True, slots=True)
class OwnContainer:
    """`project`: the name of the compose project. `volumes`: path in the container -> name of the volume mounted there."""

    project: str
    volumes: Mapping[str, str]

    def volume(self, path: str) -> str:
        """Return the name of the volume at `path`. Raises RuntimeUnavailable when there is none."""
        if path not in self.volumes:
            known = ", ".join(sorted(self.volumes)) or "none"
            raise RuntimeUnavailable(
                f"no volume is mounted at {path}, only at: {known}; see deploy/docker/compose.yaml"
            )
        return self.volumes[path]


def find(engine: str) -> OwnContainer:
    """Ask the engine at the socket `engine`. Raises RuntimeUnavailable when this process is in no container of a project."""
    name = socket.gethostname()  # the beginning of the container's ID, unless somebody gave it another
    try:
        return described(engine_api.call(engine, "GET", f"/containers/{name}/json"))
    except (OSError, engine_api.Refused) as error:
        raise RuntimeUnavailable(f"the engine at {engine} tells nothing of this container ({name}): {error}") from error


def described(inspected: Mapping[str, Any]) -> OwnContainer:
    """Return what an answer of the engine says. Raises RuntimeUnavailable."""
    project = (inspected["Config"].get("Labels") or {}).get(_PROJECT)
    if not project:
        raise RuntimeUnavailable(f"this container has no label {_PROJECT}: start it as deploy/docker/compose.yaml does")
    mounts = (one for one in inspected.get("Mounts") or () if one["Type"] == "volume")
    return OwnContainer(project, {one["Destination"]: one["Name"] for one in mounts})
