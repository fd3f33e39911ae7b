"""Which of AWS's files a mapping is, and what request an answer of AWS repeats.

``aws ecs register-task-definition --cli-input-json`` takes a request; ``describe-*`` answers with what was asked for, mixed
with what AWS found out, and names some members differently. The one rule: an answer is turned into the
request that would make the same thing, node by node, so that errors still point at the user's lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from tsunagu.model.manifests import yaml_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a request must hold to be of a kind; the first that fits counts.
_REQUESTS = (
    ("containerDefinitions", "TaskDefinition"),
    ("serviceName", "Service"),
    ("clusterName", "Cluster"),
    ("family", "TaskDefinition"),
)

#: What an answer wraps: member -> kind. Lists and single ones.
_WRAPPERS = {
    "taskDefinition": "TaskDefinition",
    "service": "Service",
    "services": "Service",
    "cluster": "Cluster",
    "clusters": "Cluster",
}
_BESIDE = frozenset({"failures", "tags", "ResponseMetadata"})

#: The member by which one knows an answer.
_ARN = {"TaskDefinition": "taskDefinitionArn", "Service": "serviceArn", "Cluster": "clusterArn"}

#: Members that an answer names differently.
_RENAMED = {"Service": {"clusterArn": "cluster", "roleArn": "role"}}

#: AWS keeps these on a service's deployments, and on the service itself only in the request.
_OF_DEPLOYMENT = ("serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations")


def request_kind(root: MappingNode) -> str:
    """The kind of a mapping that no answer wraps; empty when it is none of AWS's."""
    return next((kind for member, kind in _REQUESTS if yaml_nodes.member(root, member) is not None), "")


def answers(root: MappingNode) -> list[tuple[str, Node]]:
    """(kind, node) of everything that an answer wraps; nothing when the mapping is no answer."""
    names = {yaml_nodes.key_text(key) for key, _ in root.value}
    wrapped = names & _WRAPPERS.keys()
    if len(wrapped) != 1 or names - wrapped - _BESIDE:
        return []
    name = str(wrapped.pop())
    return [(_WRAPPERS[name], node) for node in _elements(yaml_nodes.member(root, name))]


def _elements(node: Node | None) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        yield node
    else:
        yield from yaml_nodes.items(node)


def is_answer(kind: str, node: Node) -> bool:
    return yaml_nodes.member(node, _ARN.get(kind, "")) is not None


def as_request(kind: str, node: MappingNode) -> MappingNode:
    """The request that an answer repeats. Members that it does not know are left for the walker to judge."""
    renamed = _RENAMED.get(kind, {})
    present = {yaml_nodes.key_text(key) for key, _ in node.value}
    pairs: yaml_nodes.Pairs = []
    for key, value in node.value:
        wanted = renamed.get(yaml_nodes.key_text(key) or "")
        if wanted and wanted not in present:
            pairs.append((ScalarNode(key.tag, wanted, key.start_mark, key.end_mark), value))
        else:
            pairs.append((key, value))
    if kind == "Service":
        pairs += [pair for pair in _of_deployment(node) if yaml_nodes.key_text(pair[0]) not in present]
    return yaml_nodes.with_pairs(node, pairs)


def _of_deployment(node: Node) -> Iterator[tuple[Node, Node]]:
    """What the service's primary deployment holds for it."""
    deployments = [
        one for one in yaml_nodes.items(yaml_nodes.member(node, "deployments")) if isinstance(one, MappingNode)
    ]
    primary = next((one for one in deployments if _text(yaml_nodes.member(one, "status")) == "PRIMARY"), None)
    for key, value in primary.value if primary is not None else ():
        if yaml_nodes.key_text(key) in _OF_DEPLOYMENT:
            yield key, value


def revision_of(node: Node) -> int:
    """The number that AWS gave a described task definition; 0 when it says none."""
    said = yaml_nodes.member(node, "revision")
    value = yaml_nodes.scalar(said) if isinstance(said, ScalarNode) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 0


def _text(node: Node | None) -> str:
    return node.value if isinstance(node, ScalarNode) else ""
