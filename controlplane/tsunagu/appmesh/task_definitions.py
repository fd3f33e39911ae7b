"""ECS task definitions that were made for App Mesh, without its proxy and with named ports.

The one rule: only what App Mesh added is taken away; what is left is the user's, unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tsunagu.appmesh.documents import Made, without_empty
from tsunagu.appmesh.names import port_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.appmesh.documents import Report
    from tsunagu.appmesh.index import MeshIndex

#: The variables by which AWS's Envoy knows whose proxy it is: [ARN...:]mesh/MESH/KIND/NAME.
_VARIABLES: Final = ("APPMESH_RESOURCE_ARN", "APPMESH_VIRTUAL_NODE_NAME")
_RESOURCE: Final = re.compile(r"(?:arn:.*:)?mesh/(?P<mesh>[^/]+)/(?P<kind>virtualNode|virtualGateway)/(?P<name>[^/]+)")
#: What describe-task-definition tells beside what registers one.
_OF_ANSWERS: Final = frozenset(
    {
        *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
        *("registeredAt", "registeredBy", "deregisteredAt", "tags"),
    }
)


@dataclass(frozen=True, slots=True)
class MeshTask:
    """A task definition, and what its proxy stands for: `kind` is virtualNode or virtualGateway."""

    file: str
    definition: dict[str, Any]
    mesh: str
    kind: str
    name: str
    proxy: str

    @property
    def family(self) -> str:
        return str(self.definition.get("family", ""))


def of(file: str, content: Any) -> MeshTask | None:
    """The task definition in the content of a file; None if it is none, or has no proxy of App Mesh's."""
    if not isinstance(content, dict):
        return None
    wrapped = content.get("taskDefinition")
    definition: dict[str, Any] = wrapped if isinstance(wrapped, dict) else content
    for container in definition.get("containerDefinitions") or ():
        for variable in container.get("environment") or ():
            match = _RESOURCE.fullmatch(str(variable.get("value", "")))
            if variable.get("name") in _VARIABLES and match:
                proxy = str(container.get("name", ""))
                return MeshTask(file, definition, match["mesh"], match["kind"], match["name"], proxy)
    return None


def convert(mesh: MeshIndex, task: MeshTask, report: Report) -> Made:
    """The same task definition for Service Connect, which adds the proxy itself."""
    members = {
        name: value for name, value in task.definition.items() if name not in {*_OF_ANSWERS, "proxyConfiguration"}
    }
    containers = [
        _container(one, task.proxy) for one in members["containerDefinitions"] if one.get("name") != task.proxy
    ]
    document = {"kind": "TaskDefinition", **members, "containerDefinitions": containers}
    for port, protocol in mesh.ports(task.name).items():
        mapping = next((one for one in _mappings(containers) if one.get("containerPort") == port), None)
        if mapping is None:
            listeners = mesh.of("VirtualNode")[task.name].spec
            report.refuse(
                listeners, "listeners", f"no container of {task.family} ({task.file}) has containerPort {port}",
                "add it to portMappings",
            )  # fmt: skip
        else:
            mapping |= without_empty(
                {"name": port_name(mesh, task.name, port), "appProtocol": protocol if protocol != "tcp" else ""}
            )
    return Made(document, f"{task.file}: TaskDefinition {task.family}")


def past_the_proxy(task: MeshTask) -> str:
    """What tasks send past their proxy, which an egress filter does not see; empty: nothing but what AWS itself has at 169.254."""
    properties = (task.definition.get("proxyConfiguration") or {}).get("properties") or ()
    given = {one.get("name"): str(one.get("value", "")).split(",") for one in properties}
    found = [
        (name, [part.strip() for part in given.get(name, ())]) for name in ("EgressIgnoredIPs", "EgressIgnoredPorts")
    ]
    told = [(name, [part for part in parts if part and not part.startswith("169.254.")]) for name, parts in found]
    return ", ".join(f"{name} {' '.join(parts)}" for name, parts in told if parts)


def _container(container: dict[str, Any], proxy: str) -> dict[str, Any]:
    """A copy of a container's definition that does not wait for the proxy."""
    waits = [dict(one) for one in container.get("dependsOn") or () if one.get("containerName") != proxy]
    mappings = [dict(one) for one in container.get("portMappings") or ()]
    rest = {name: value for name, value in container.items() if name not in {"dependsOn", "portMappings"}}
    return rest | without_empty({"dependsOn": waits, "portMappings": mappings})


def _mappings(containers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (mapping for container in containers for mapping in container.get("portMappings") or ())
