"""Recognises AWS's own files, and turns the output of ``describe-*`` back into requests.

``aws ecs register-task-definition --cli-input-json`` takes a request. ``describe-*`` returns what was requested, together
with what AWS added to it, and calls some fields differently. The one rule: such output is turned into the request that
would create the same thing, node by node, so that errors still point at the user's lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from tsunagu.model.manifests import yaml_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The field by which a request's kind is known; the first match counts.
_REQUESTS = (
    ("containerDefinitions", "TaskDefinition"),
    ("serviceName", "Service"),
    ("clusterName", "Cluster"),
    ("family", "TaskDefinition"),
)

#: The field in which output contains objects, one or a list of them -> their kind.
_WRAPPERS = {
    "taskDefinition": "TaskDefinition",
    "service": "Service",
    "services": "Service",
    "cluster": "Cluster",
    "clusters": "Cluster",
}
#: Other fields of such output.
_BESIDE = frozenset({"failures", "tags", "ResponseMetadata"})

#: The field by which described objects of a kind are known.
_ARN = {"TaskDefinition": "taskDefinitionArn", "Service": "serviceArn", "Cluster": "clusterArn"}

#: Fields of described objects -> the name in a request.
_RENAMED = {"Service": {"clusterArn": "cluster", "roleArn": "role"}}

#: Fields of a service in a request, but of its deployments in the output.
_OF_DEPLOYMENT = ("serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations")


def request_kind(root: MappingNode) -> str:
    """Return the kind of a request; empty if it is none of AWS's."""
    return next((kind for field, kind in _REQUESTS if yaml_nodes.value_of(root, field) is not None), "")


def answers(root: MappingNode) -> list[tuple[str, Node]]:
    """Return (kind, node) of every object in the output of ``describe-*``; none if the mapping is something else."""
    names = {yaml_nodes.key_text(key) for key, _ in root.value}
    wrapped = names & _WRAPPERS.keys()
    if len(wrapped) != 1 or names - wrapped - _BESIDE:
        return []
    name = str(wrapped.pop())
    return [(_WRAPPERS[name], node) for node in _elements(yaml_nodes.value_of(root, name))]


def _elements(node: Node | None) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        yield node
    else:
        yield from yaml_nodes.items(node)


def is_answer(kind: str, node: Node) -> bool:
    return yaml_nodes.value_of(node, _ARN.get(kind, "")) is not None


def as_request(kind: str, node: MappingNode) -> MappingNode:
    """Return the request for a described object. Unknown fields are kept: the decoder reports them."""
    renamed = _RENAMED.get(kind, {})
    present = {yaml_nodes.key_text(key) for key, _ in node.value}
    pairs: yaml_nodes.Pairs = []
    for key, value in node.value:
        name = renamed.get(yaml_nodes.key_text(key) or "")
        if name and name not in present:
            pairs.append((ScalarNode(key.tag, name, key.start_mark, key.end_mark), value))
        else:
            pairs.append((key, value))
    if kind == "Service":
        pairs += [pair for pair in _of_deployment(node) if yaml_nodes.key_text(pair[0]) not in present]
    return yaml_nodes.with_pairs(node, pairs)


def _of_deployment(node: Node) -> Iterator[tuple[Node, Node]]:
    """The fields of a service that its primary deployment has."""
    deployments = [
        one for one in yaml_nodes.items(yaml_nodes.value_of(node, "deployments")) if isinstance(one, MappingNode)
    ]
    primary = next((one for one in deployments if _text(yaml_nodes.value_of(one, "status")) == "PRIMARY"), None)
    for key, value in primary.value if primary is not None else ():
        if yaml_nodes.key_text(key) in _OF_DEPLOYMENT:
            yield key, value


def revision_of(node: Node) -> int:
    """Return the revision number of a described task definition; 0 if it has no valid one."""
    written = yaml_nodes.value_of(node, "revision")
    value = yaml_nodes.scalar(written) if isinstance(written, ScalarNode) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 0


def _text(node: Node | None) -> str:
    return node.value if isinstance(node, ScalarNode) else ""
