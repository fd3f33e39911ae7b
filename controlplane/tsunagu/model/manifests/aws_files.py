"""Recognises AWS's own files, and turns the output of ``describe-*`` and the input of updates into requests.

``aws ecs register-task-definition --cli-input-json`` takes a request. ``describe-*`` returns what was requested, together
with what AWS added to it, and calls some fields differently. Deployment tools keep either, often without the name or the ARN.
The one rule: each becomes the request that would create the same thing, node by node, so that errors still point at the
user's lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tsunagu.model import ids
from tsunagu.model.manifests import yaml_nodes
from tsunagu.model.rules import ecs_constraints
from tsunagu.v1 import alarms_pb2, ecs_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor

#: The request that creates an object of each of AWS's kinds.
REQUESTS = {
    "TaskDefinition": ecs_pb2.RegisterTaskDefinitionRequest.DESCRIPTOR,
    "Service": ecs_pb2.CreateServiceRequest.DESCRIPTOR,
    "Cluster": ecs_pb2.CreateClusterRequest.DESCRIPTOR,
    "Alarm": alarms_pb2.PutMetricAlarmInput.DESCRIPTOR,
}
#: The fields that a described object has beside those of its request. An alarm's: CloudWatch's MetricAlarm.
ANSWERED = {
    **ecs_constraints.ANSWERED,
    "PutMetricAlarmInput": (
        *("AlarmArn", "AlarmConfigurationUpdatedTimestamp", "StateValue", "StateReason", "StateReasonData"),
        *("StateUpdatedTimestamp", "StateTransitionedTimestamp", "EvaluationState"),
    ),
}

#: The field by which a request's kind is known; the first match counts.
_TELLING = (
    ("containerDefinitions", "TaskDefinition"),
    ("serviceName", "Service"),
    ("clusterName", "Cluster"),
    ("AlarmName", "Alarm"),
)
#: Without such a field: at least so many fields, and half of all, are of a request.
_FEWEST_FIELDS = 2
_SHARED = frozenset({"tags", "cluster", "status"})  # fields that tell nothing

#: Fields that alone tell of which part they are.
_TELLING_PARTS = frozenset({"awsvpcConfiguration", "containerPort", "dnsName", "portName", "sourceVolume", "logDriver"})

#: The field in which output contains objects, one or a list of them -> their kind.
_ONE = {"taskDefinition": "TaskDefinition", "service": "Service", "cluster": "Cluster"}
_SEVERAL = {"taskDefinitions": "TaskDefinition", "services": "Service", "clusters": "Cluster", "MetricAlarms": "Alarm"}
#: Fields of output that list ARNs, not objects.
_ARN_LISTS = {"taskDefinitionArns": "TaskDefinition", "serviceArns": "Service", "clusterArns": "Cluster"}
#: Other fields of such output that need no word.
_BESIDE = frozenset({"failures", "tags", "ResponseMetadata"})

DESCRIBE = {
    "TaskDefinition": "`aws ecs describe-task-definition --task-definition ARN`",
    "Service": "`aws ecs describe-services --cluster CLUSTER --services ARN`",
    "Cluster": "`aws ecs describe-clusters --clusters ARN`",
    "Alarm": "`aws cloudwatch describe-alarms --alarm-names NAME`",
}

#: The field by which described objects of a kind are known.
_ARN = {"TaskDefinition": "taskDefinitionArn", "Service": "serviceArn", "Cluster": "clusterArn", "Alarm": "AlarmArn"}

#: Fields of described objects -> the name in a request.
_RENAMED = {"Service": {"clusterArn": "cluster", "roleArn": "role", "service": "serviceName"}}
#: Fields of UpdateService that CreateService lacks.
_OF_UPDATE = {"Service": ("service", "forceNewDeployment")}

#: Fields of a service in a request, but of its deployments in the output.
_OF_DEPLOYMENT = ("serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations")


#: Fields of a service that, with task sets, each of these has.
_OF_TASK_SET = (
    *("taskDefinition", "networkConfiguration", "loadBalancers", "serviceRegistries", "launchType"),
    *("platformVersion", "capacityProviderStrategy"),
)


def request_kind(root: Node) -> str:
    """Return the kind of a request, by its fields; empty if it is none of AWS's."""
    names = set(yaml_nodes.key_texts(root))
    told = next((kind for name, kind in _TELLING if name in names), "")
    if told:
        return told
    counts = {kind: len((names & _fields(kind)) - _SHARED) for kind in REQUESTS}
    best = max(counts, key=lambda kind: counts[kind])
    enough = counts[best] >= _FEWEST_FIELDS and 2 * counts[best] >= len(names)
    return best if enough else "TaskDefinition" if names == {"family"} else ""


def is_told(root: Node) -> bool:
    """Whether one field alone tells the kind of a request."""
    return any(yaml_nodes.value_of(root, name) is not None for name, _ in _TELLING)


def _fields(kind: str) -> set[str]:
    """Every field that a request, an update or an answer of a kind may have."""
    request = REQUESTS[kind]
    own = {one.json_name for one in request.fields}
    return {*own, *ANSWERED[request.name], *_OF_UPDATE.get(kind, ())}


@dataclass
class Answer:
    """What the output of a command of AWS holds."""

    objects: list[tuple[str, Node]] = field(default_factory=list)  # (kind, node)
    beside: list[str] = field(default_factory=list)  # fields beside them that mean nothing here
    failures: list[tuple[Node, str]] = field(default_factory=list)  # (node, "ARN: REASON")
    arns: list[tuple[str, Node]] = field(default_factory=list)  # (kind, node) of lists with ARNs in place of objects


def answer(root: MappingNode) -> Answer | None:
    """Read a mapping as the output of a command; None if it is none. An object there is a mapping, never a name."""
    found, wrapped = Answer(), False
    for key, value in root.value:
        name = yaml_nodes.key_text(key) or ""
        if name in _ONE and isinstance(value, MappingNode) and _is_object(_ONE[name], value):
            found.objects.append((_ONE[name], value))
        elif name in _SEVERAL and _are_objects(_SEVERAL[name], value):
            _add_several(found, _SEVERAL[name], value)
        elif name in _ARN_LISTS and isinstance(value, SequenceNode):
            found.arns.append((_ARN_LISTS[name], value))
        else:
            _add_beside(found, name, value)
            continue
        wrapped = True
    return found if wrapped or found.failures else None


def _are_objects(kind: str, node: Node) -> bool:
    """Whether a list has names or objects of a kind, or nothing; e.g. the `services` of Service Connect are none."""
    elements = list(yaml_nodes.items(node))
    return isinstance(node, SequenceNode) and all(
        isinstance(one, ScalarNode) or _is_object(kind, one) for one in elements
    )


def _is_object(kind: str, node: Node) -> bool:
    return is_answer(kind, node) or request_kind(node) == kind


def _add_several(found: Answer, kind: str, listed: Node) -> None:
    elements = list(yaml_nodes.items(listed))
    if any(isinstance(one, ScalarNode) for one in elements):
        found.arns.append((kind, listed))
    else:
        found.objects += [(kind, one) for one in elements]


def _add_beside(found: Answer, name: str, value: Node) -> None:
    if name == "failures":
        for one in yaml_nodes.items(value):
            if not isinstance(one, MappingNode):
                continue
            words = [yaml_nodes.text_of(yaml_nodes.value_of(one, part)) for part in ("arn", "reason", "detail")]
            found.failures.append((one, ": ".join(word for word in words if word)))
    elif name not in _BESIDE:
        found.beside.append(name)


def is_answer(kind: str, node: Node) -> bool:
    """Whether it has a field that only AWS can give."""
    request = REQUESTS[kind]
    return not set(ANSWERED[request.name]).isdisjoint(yaml_nodes.key_texts(node))


def ignored_fields(kind: str, *, described: bool) -> tuple[str, ...]:
    """The fields that a request lacks and that are passed over: of updates, and of answers."""
    return (*_OF_UPDATE.get(kind, ()), *(ANSWERED[REQUESTS[kind].name] if described else ()))


def as_request(kind: str, node: MappingNode) -> MappingNode:
    """Return the request for a described or updated object. Unknown fields are kept: the decoder passes them over."""
    renamed = _RENAMED.get(kind, {})
    present = set(yaml_nodes.key_texts(node))
    pairs: yaml_nodes.Pairs = []
    for key, value in node.value:
        name = renamed.get(yaml_nodes.key_text(key) or "")
        if name and name not in present:
            pairs.append((ScalarNode(key.tag, name, key.start_mark, key.end_mark), value))
        else:
            pairs.append((key, value))
    if kind == "Service":
        inner = (*_of_deployment(node), *_of_task_set(node))
        pairs += [pair for pair in inner if yaml_nodes.key_text(pair[0]) not in present]
        pairs = _named_by_arn(pairs)
    return yaml_nodes.with_pairs(node, pairs)


def _named_by_arn(pairs: yaml_nodes.Pairs) -> yaml_nodes.Pairs:
    """A service's ARN in place of its name: the name is its last part, the cluster the part before it."""
    made: yaml_nodes.Pairs = []
    cluster: tuple[Node, Node] | None = None
    for key, value in pairs:
        text = yaml_nodes.text_of(value)
        if yaml_nodes.key_text(key) == "serviceName" and text.startswith("arn:"):
            before, _, name = ids.arn_tail(text, "service").rpartition("/")
            made.append((key, _scalar(value, name)))
            cluster = (_scalar(key, "cluster"), _scalar(value, before)) if before else None
        else:
            made.append((key, value))
    named = any(yaml_nodes.key_text(key) == "cluster" for key, _ in made)
    return made if named or cluster is None else [*made, cluster]


def _scalar(like: Node, text: str) -> ScalarNode:
    return ScalarNode(like.tag, text, like.start_mark, like.end_mark, '"')


def _of_deployment(node: Node) -> Iterator[tuple[Node, Node]]:
    """The fields of a service that its primary deployment has."""
    deployments = [
        one for one in yaml_nodes.items(yaml_nodes.value_of(node, "deployments")) if isinstance(one, MappingNode)
    ]
    primary = next(
        (one for one in deployments if yaml_nodes.text_of(yaml_nodes.value_of(one, "status")) == "PRIMARY"), None
    )
    for key, value in primary.value if primary is not None else ():
        if yaml_nodes.key_text(key) in _OF_DEPLOYMENT:
            yield key, value


def _of_task_set(node: Node) -> Iterator[tuple[Node, Node]]:
    """The fields of a service with the controller EXTERNAL, or CODE_DEPLOY, that its primary task set has."""
    sets = [one for one in yaml_nodes.items(yaml_nodes.value_of(node, "taskSets")) if isinstance(one, MappingNode)]
    primary = next((one for one in sets if yaml_nodes.text_of(yaml_nodes.value_of(one, "status")) == "PRIMARY"), None)
    for key, value in primary.value if primary is not None else ():
        if yaml_nodes.key_text(key) in _OF_TASK_SET:
            yield key, value


def revision_of(node: Node) -> int:
    """Return the revision number of a described task definition; 0 if it has no valid one."""
    written = yaml_nodes.value_of(node, "revision")
    value = yaml_nodes.scalar(written) if isinstance(written, ScalarNode) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 0


def part_of(names: set[str]) -> tuple[str, str]:
    """Return (message, where it belongs) of the part of a request whose fields these are; empty texts if of none.

    E.g. ``("ContainerDefinition", "containerDefinitions of a TaskDefinition")``.
    """
    best, where, most = "", "", 0
    for message, place in _parts():
        fitting = len(names & {one.json_name for one in message.fields})
        if fitting == len(names) and fitting > most and (fitting >= _FEWEST_FIELDS or names <= _TELLING_PARTS):
            best, where, most = message.name, place, fitting
    return best, where


def _parts() -> Iterator[tuple[Descriptor, str]]:
    """(message, where it belongs) for every message right within the requests, and those within these."""
    for kind, request in REQUESTS.items():
        for one, message in _messages(request):
            yield message, f"`{one}` of a {kind}"
            for inner, part in _messages(message):
                yield part, f"`{one}.{inner}` of a {kind}"


def _messages(of: Descriptor) -> list[tuple[str, Descriptor]]:
    """(field, message) of each field of a message that is itself one of ECS's messages."""
    known = ecs_pb2.DESCRIPTOR.message_types_by_name
    inner = ((one.json_name, one.message_type) for one in of.fields if one.message_type is not None)
    return [(name, message) for name, message in inner if known.get(message.name) is message]


def respelled(names: set[str]) -> tuple[str, str]:
    """Return (example, hint) if the names are a request's fields in another spelling, e.g. CloudFormation's; else empty texts."""
    plain = {name.replace("_", "").replace("-", "").lower(): name for name in names}
    for kind in REQUESTS:
        meant = {field: plain[field.lower()] for field in sorted(_fields(kind)) if field.lower() in plain}
        right, wrong = next((one for one in meant.items() if one[0] != one[1]), ("", ""))
        if wrong and len(meant) >= _FEWEST_FIELDS and 2 * len(meant) >= len(names):
            return (
                f"{wrong} is {right}",
                f"it seems to be a {kind} of another tool; {DESCRIBE[kind]} has AWS's spelling",
            )
    return "", ""
