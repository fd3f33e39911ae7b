"""Validates puts and deletes of objects against all other objects.

The one rule: a plan and the server call the same functions, so the server accepts what a plan accepts. The plan adds the
places in the user's files, which the server does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ecs_fields, ids, images, references
from tsunagu.model.deployments import alarm_rules
from tsunagu.model.outside import egress
from tsunagu.model.rules import (
    access,
    authorities,
    deployments,
    discovery,
    externals,
    services,
    sizes,
    tasks,
    traffic,
)
from tsunagu.model.rules.constraints import NAMESPACE_NAME, check_fields, issue
from tsunagu.model.rules.indexes import Indexes
from tsunagu.model.rules.subject import Subject

if TYPE_CHECKING:
    from tsunagu.model.errors import Issue
    from tsunagu.model.references import State
    from tsunagu.v1 import objects_pb2

Rule = Callable[[Subject], Iterator["Issue"]]


def _cluster_name(subject: Subject) -> Iterator[Issue]:
    wanted = subject.obj.cluster.spec.cluster_name or references.DEFAULT_CLUSTER
    if subject.name != wanted:
        yield issue("clusterName", f"{wanted!r} is not the object's name {subject.name!r}")


def _default_namespace(subject: Subject) -> Iterator[Issue]:
    written = subject.obj.cluster.spec.service_connect_defaults.namespace
    wanted = references.namespace_name(written, subject.indexes.state)
    known = subject.indexes.objects("Namespace")
    if wanted and wanted not in known:
        yield issue(
            "serviceConnectDefaults.namespace", f"there is no namespace {wanted!r}", did_you_mean(wanted, known)
        )


def _namespace_name(subject: Subject) -> Iterator[Issue]:
    if not NAMESPACE_NAME.expression.fullmatch(subject.name):
        yield issue("name", f"{subject.name!r} is not valid", f"it must be {NAMESPACE_NAME.words}")


def _namespace_arn(subject: Subject) -> Iterator[Issue]:
    """An ARN belongs to one namespace."""
    arn = subject.obj.namespace.arn
    for name, other in subject.indexes.objects("Namespace").items():
        if arn and name != subject.name and other.namespace.arn == arn:
            yield issue("arn", f"it is the ARN of namespace {name!r} too")


def _gateway_places(subject: Subject) -> Iterator[Issue]:
    """A gateway's namespace and cluster exist."""
    gateway = subject.obj.gateway
    known = subject.indexes.objects("Namespace")
    if gateway.namespace and gateway.namespace not in known:
        yield issue("namespace", f"there is no namespace {gateway.namespace!r}", did_you_mean(gateway.namespace, known))
    cluster = gateway.cluster or references.DEFAULT_CLUSTER
    clusters = subject.indexes.objects("Cluster")
    if cluster not in clusters:
        yield issue("cluster", f"there is no cluster {cluster!r}", did_you_mean(cluster, clusters))


def _gateway_ports(subject: Subject) -> Iterator[Issue]:
    """A port of this machine is published by one gateway."""
    for index, port in enumerate(subject.obj.gateway.ports):
        host = port.host or "127.0.0.1"
        owners = subject.indexes.published[host, str(port.host_port)]
        others = [one for one in owners if one != subject.name]
        if others:
            yield issue(
                f"ports[{index}].hostPort", f"{host}:{port.host_port} is already published by gateway {others[0]}"
            )
        elif len(owners) > 1:
            yield issue(f"ports[{index}].hostPort", f"{host}:{port.host_port} is published twice")


def _image_folder(subject: Subject) -> Iterator[Issue]:
    image = subject.obj.image
    for field, folder in (("workingDirectory", image.working_directory), ("build", image.build)):
        if folder and not folder.startswith("/"):
            yield issue(field, f"{folder!r} is a relative path", "write an absolute path")
    if image.image and image.build:
        yield issue("build", "image says already which image is run", "leave one of them out")


def _image_command(subject: Subject) -> Iterator[Issue]:
    """An Image's command and check begin with a program."""
    image = subject.obj.image
    for path, words in (("entryPoint", image.entry_point), ("command", () if image.entry_point else image.command)):
        if words and not words[0]:
            yield issue(f"{path}[0]", "is empty", "write the program that is started")
    if image.HasField("health_check"):
        yield from tasks.health_command(list(image.health_check.command), "healthCheck.command")
    if image.image and (image.image != image.image.strip() or len(image.image.split()) > 1):
        yield issue(
            "image", f"{image.image!r} is no image reference", "write one as in `docker run`, e.g. shop-web:dev"
        )
    if image.override and not image.entry_point and not image.command:
        yield issue("override", "nothing is there that could win over a container's command", "add a command")


def _namespace_egress(subject: Subject) -> Iterator[Issue]:
    """A word stands alone."""
    found = subject.obj.namespace.egress
    if len(found) > 1 and (word := next((one for one in found if one in (egress.ALLOW, egress.DENY)), "")):
        yield issue("egress", f"{word} is there beside names", f"write `egress: {word}`, or the names alone")


def _image_serves(subject: Subject) -> Iterator[Issue]:
    """Putting an Image leaves no service without a command, whether by its pattern or by having no command itself."""
    for (image, service), container in subject.indexes.losing_commands.items():
        missing = images.missing_command(container, subject.indexes.state)
        if image == subject.name and missing is not None:
            yield issue("", f"service {service} could not start any more: {missing[0]}", "give it a command")


def _refused_fields(subject: Subject) -> Iterator[Issue]:
    yield from ecs_fields.refused(ids.body(subject.obj).spec)  # type: ignore[attr-defined]


#: The rules for objects of each kind that users write.
RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "Cluster": (_cluster_name, _default_namespace, _refused_fields),
        "Namespace": (
            _namespace_name,
            _namespace_arn,
            _namespace_egress,
            discovery.namespace_type,
            access.still_enforceable,
        ),
        "TaskDefinition": (*tasks.RULES, _refused_fields),
        "Service": (*services.RULES, access.still_enforceable, *deployments.RULES, _refused_fields),
        "Gateway": (_gateway_places, _gateway_ports, traffic.gateway_ports),
        "Image": (_image_folder, _image_command, _image_serves),
        "SecretValue": (sizes.secret_size,),
        "CloudMapService": discovery.SERVICE_RULES,
        "CloudMapInstance": discovery.INSTANCE_RULES,
        "Alarm": alarm_rules.RULES,
        "External": externals.RULES,
        "Route": traffic.ROUTE_RULES,
        "TrafficPolicy": traffic.POLICY_RULES,
        "AccessPolicy": access.RULES,
        "TrustBundle": authorities.RULES,
    }
)


#: How many of the objects that need a deleted one an error names.
_USERS_NAMED = 5


def check(obj: objects_pb2.Object, state: State) -> list[Issue]:
    """Return the issues of putting one object into a state. They have paths but no places in a text."""
    return check_batch([obj], [], state)


def check_batch(puts: Iterable[objects_pb2.Object], deletes: Iterable[tuple[str, str]], state: State) -> list[Issue]:
    """Return the issues of a batch that puts objects and deletes others (kind, name).

    Each object is validated against the state after the whole batch. ``Issue.file`` is the object's kind and name.
    """
    puts, deletes = list(puts), list(deletes)
    indexes = Indexes(state_after(state, puts, deletes), state)
    found = [one.at(f"{ids.kind_of(obj)} {obj.meta.name}", 0, 0) for obj in puts for one in check_object(obj, indexes)]
    for kind, name in deletes:
        found += [one.at(f"{kind} {name}", 0, 0) for one in check_delete(kind, name, indexes)]
    return found


def check_object(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    """Yield the issues of one object. Objects of kinds that users do not write are not validated."""
    kind = ids.kind_of(obj)
    if kind not in RULES:
        return
    yield from check_fields(ids.body(obj))
    subject = Subject(obj, indexes)
    for rule in RULES[kind]:
        yield from rule(subject)


def check_delete(kind: str, name: str, indexes: Indexes) -> Iterator[Issue]:
    """Yield an issue if objects that need the deleted one would remain."""
    users = indexes.users_of(kind, name)
    if len(users) == 1:
        yield issue("", f"{users[0]} needs it", "delete that first, or with it")
    elif users:
        more = f" and {len(users) - _USERS_NAMED} more" if len(users) > _USERS_NAMED else ""
        named = ", ".join(users[:_USERS_NAMED])
        yield issue("", f"{named}{more} need it", "delete these first, or with it")


def state_after(
    state: State, puts: Iterable[objects_pb2.Object], deletes: Iterable[tuple[str, str]] = ()
) -> dict[str, dict[str, objects_pb2.Object]]:
    """Return the state after a batch. Its objects are those of ``state`` and of ``puts`` themselves, not copies."""
    after = {kind: dict(objects) for kind, objects in state.items()}
    for kind, name in deletes:
        after.get(kind, {}).pop(name, None)
    for obj in puts:
        after.setdefault(ids.kind_of(obj), {})[obj.meta.name] = obj
    return after
