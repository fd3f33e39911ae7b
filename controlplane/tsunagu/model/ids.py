"""Kinds of objects, the names of objects, and the keys under which a store keeps them.

The one rule: a kind is called like its message (``Service``), its objects have keys ``services/<name>``, and only this
module composes names and keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.v1 import access_pb2, alarms_pb2, deployments_pb2, external_pb2, identities_pb2, objects_pb2, traffic_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message


#: Characters of an owner's name in the ID of a task: with a hash of 8 it stays below the 63 of a host name (RFC 1123).
_OWNER_IN_ID = 48


class UnknownKindError(ValueError):
    """There is no such kind, or no object can have such a key."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    name: str  # the message name, e.g. "TaskDefinition"
    field: str  # its field of Object's oneof, e.g. "task_definition"
    prefix: str  # of its objects' keys, with the slash, e.g. "taskdefinitions/"
    message: type[Message]
    written_by_users: bool  # in manifests; the server validates these kinds


def _kind(message: type[Message], field: str, plural: str, *, users: bool = False) -> Kind:
    return Kind(message.DESCRIPTOR.name, field, plural + "/", message, users)


#: Every kind, in the order in which a plan applies them: a kind comes after those that it refers to.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _kind(objects_pb2.Namespace, "namespace", "namespaces", users=True),
            _kind(objects_pb2.Cluster, "cluster", "clusters", users=True),
            _kind(objects_pb2.Image, "image", "images", users=True),
            _kind(objects_pb2.SecretValue, "secret_value", "secretvalues", users=True),
            _kind(objects_pb2.TaskDefinition, "task_definition", "taskdefinitions", users=True),
            _kind(alarms_pb2.Alarm, "alarm", "alarms", users=True),
            _kind(objects_pb2.Service, "service", "services", users=True),
            _kind(objects_pb2.Gateway, "gateway", "gateways", users=True),
            _kind(objects_pb2.CloudMapService, "cloud_map_service", "cloudmapservices", users=True),
            _kind(objects_pb2.CloudMapInstance, "cloud_map_instance", "cloudmapinstances", users=True),
            _kind(external_pb2.External, "external", "externals", users=True),
            _kind(traffic_pb2.Route, "route", "routes", users=True),
            _kind(traffic_pb2.TrafficPolicy, "traffic_policy", "trafficpolicies", users=True),
            _kind(access_pb2.AccessPolicy, "access_policy", "accesspolicies", users=True),
            _kind(objects_pb2.ServiceRevision, "service_revision", "servicerevisions"),
            _kind(objects_pb2.VirtualAddress, "virtual_address", "virtualaddresses"),
            _kind(objects_pb2.Node, "node", "nodes"),
            _kind(objects_pb2.NodeLease, "node_lease", "nodeleases"),
            _kind(objects_pb2.Task, "task", "tasks"),
            _kind(objects_pb2.CloudMapOperation, "cloud_map_operation", "cloudmapoperations"),
            _kind(deployments_pb2.ServiceDeployment, "service_deployment", "servicedeployments"),
            _kind(identities_pb2.TrustBundle, "trust_bundle", "trustbundles", users=True),
        )
    }
)

_BY_FIELD = MappingProxyType({kind.field: kind for kind in KINDS.values()})
_BY_PREFIX = MappingProxyType({kind.prefix[:-1]: kind for kind in KINDS.values()})


def kind(name: str) -> Kind:
    """Return the kind of that name. Raises UnknownKindError."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKindError(f"there is no kind {name!r}; the kinds are {', '.join(sorted(KINDS))}") from None


def prefix(kind_name: str) -> str:
    """Return the prefix of all keys of a kind; for the empty string, which stands for all kinds, an empty one."""
    return kind(kind_name).prefix if kind_name else ""


def key(kind_name: str, name: str) -> str:
    """Return the store key of an object: ``key("Service", "default/orders")`` is ``services/default/orders``."""
    return kind(kind_name).prefix + name


def parse_key(text: str) -> tuple[str, str]:
    """Split a store key into (kind, name). Raises UnknownKindError."""
    plural, slash, name = text.partition("/")
    found = _BY_PREFIX.get(plural)
    if found is None or not slash or not name:
        raise UnknownKindError(f"{text!r} is no key of an object; a key is like 'services/default/orders'")
    return found.name, name


def kind_of(obj: objects_pb2.Object) -> str:
    """Return the name of an object's kind; empty if the object has no body."""
    field = obj.WhichOneof("body")
    return _BY_FIELD[field].name if field else ""


def body(obj: objects_pb2.Object) -> Message:
    """Return the object's own message (Service, Task, ...). Raises UnknownKindError if it has none."""
    field = obj.WhichOneof("body")
    if field is None:
        raise UnknownKindError(f"the object {obj.meta.name!r} has no body, so it is of no kind")
    message: Message = getattr(obj, field)
    return message


def make(kind_name: str, name: str, message: Message) -> objects_pb2.Object:
    """Make an object that holds a copy of ``message`` and has no revision yet."""
    of = kind(kind_name)
    if not isinstance(message, of.message):
        raise UnknownKindError(f"a {kind_name} holds a {kind_name} message, not a {message.DESCRIPTOR.name}")
    obj = objects_pb2.Object(meta=objects_pb2.Meta(name=name))
    getattr(obj, of.field).CopyFrom(message)
    getattr(obj, of.field).SetInParent()
    return obj


def service_name(cluster: str, service: str) -> str:
    """Name of a Service: ``default/orders``."""
    return f"{cluster}/{service}"


def task_definition_name(family: str, revision: int) -> str:
    """Name of a TaskDefinition: ``orders:3``."""
    return f"{family}:{revision}"


def revision_name(cluster: str, service: str, digest: str) -> str:
    """Name of a ServiceRevision: ``default/orders/1f0c2a9be4d7``."""
    return f"{cluster}/{service}/{digest}"


def deployment_name(service: str, number: int) -> str:
    """Name of a ServiceDeployment: ``default/orders/57``. ``service``: the name of its Service."""
    return f"{service}/{number}"


def task_name(cluster: str, task_id: str) -> str:
    """Name of a Task: ``default/orders-3k9d0a2f``."""
    return f"{cluster}/{task_id}"


def task_id_for(owner: str, digest: str) -> str:
    """Return the ID of a task of the service or gateway ``owner``: ``orders-3k9d0a2f``.

    It is the name of a directory and a host name, so an owner of more than 48 characters (AWS allows 255) is cut, and has
    its hash instead of what is missing.
    """
    if len(owner) > _OWNER_IN_ID:
        whole = hashlib.sha256(owner.encode()).hexdigest()[:8]
        owner = f"{owner[: _OWNER_IN_ID - len(whole) - 1]}-{whole}"
    return f"{owner}-{digest}"


def task_id(task: objects_pb2.Object) -> str:
    """A task's name without its cluster: ``orders-3k9d0a2f``. Also the name of its directory, and its host name."""
    return task.meta.name.rpartition("/")[2]


def service_of(task: objects_pb2.Object) -> str:
    """Name (CLUSTER/SERVICE) of the service that a task belongs to; empty for a gateway's."""
    spec = task.task.spec
    return service_name(spec.cluster, spec.service) if spec.service else ""


def cloud_map_service_name(namespace: str, service: str) -> str:
    """Name of a CloudMapService: ``shop/mysql``."""
    return f"{namespace}/{service}"


def cloud_map_instance_name(service: str, instance_id: str) -> str:
    """Name of a CloudMapInstance: ``shop/mysql/db-1``. ``service``: the name of its CloudMapService."""
    return f"{service}/{instance_id}"


def cloud_map_service_of(instance: str) -> tuple[str, str]:
    """Split a CloudMapInstance's name into its CloudMapService's name and its ID, which may have slashes."""
    namespace, _, rest = instance.partition("/")
    service, _, instance_id = rest.partition("/")
    return f"{namespace}/{service}", instance_id


def virtual_address_name(namespace: str, dns_name: str) -> str:
    """Name of a VirtualAddress: ``shop/orders``."""
    return f"{namespace}/{dns_name}"


def arn_tail(text: str, resource: str) -> str:
    """Return the name in an ARN of that resource type; the text itself if it is no such ARN.

    ``arn:aws:ecs:eu-west-1:1:cluster/shop`` gives ``shop``; ``.../service/shop/web`` gives ``shop/web``.
    """
    if not text.startswith("arn:"):
        return text
    _, found, tail = text.partition(f":{resource}/")
    return tail if found else text
