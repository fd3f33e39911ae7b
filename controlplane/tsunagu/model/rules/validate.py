"""Whether objects may be put or deleted, given all the others.

The one rule: everybody who writes what users write asks here: the plan, which adds lines of the files, and the
server, which has none. So what a plan accepts the server accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids, members, references, revisions
from tsunagu.model.rules import services, tasks
from tsunagu.model.rules.constraints import NAMESPACE_NAME, check_members, issue
from tsunagu.model.rules.indexes import Facts
from tsunagu.model.rules.tasks import Subject

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
    wanted = references.namespace_name(subject.obj.cluster.spec.service_connect_defaults.namespace)
    known = subject.facts.objects("Namespace")
    if wanted and wanted not in known:
        yield issue(
            "serviceConnectDefaults.namespace", f"there is no namespace {wanted!r}", did_you_mean(wanted, known)
        )


def _namespace_name(subject: Subject) -> Iterator[Issue]:
    if not NAMESPACE_NAME.expression.fullmatch(subject.name):
        yield issue("name", f"{subject.name!r} is not valid", f"it must be {NAMESPACE_NAME.words}")


def _live_names(subject: Subject) -> Iterator[Issue]:
    """AWS freezes the names that a task sees at its deployment; here they are live, and only live."""
    if subject.obj.namespace.freeze:
        yield issue("freeze", "is not supported: the names of a namespace are live", "leave it out")


def _gateway_places(subject: Subject) -> Iterator[Issue]:
    """A gateway leads into a namespace and a cluster that are there."""
    gateway = subject.obj.gateway
    known = subject.facts.objects("Namespace")
    if gateway.namespace and gateway.namespace not in known:
        yield issue("namespace", f"there is no namespace {gateway.namespace!r}", did_you_mean(gateway.namespace, known))
    cluster = gateway.cluster or references.DEFAULT_CLUSTER
    clusters = subject.facts.objects("Cluster")
    if cluster not in clusters:
        yield issue("cluster", f"there is no cluster {cluster!r}", did_you_mean(cluster, clusters))


def _gateway_ports(subject: Subject) -> Iterator[Issue]:
    """A port of this machine is published once."""
    for index, port in enumerate(subject.obj.gateway.ports):
        host = port.host or "127.0.0.1"
        owners = subject.facts.published[host, str(port.host_port)]
        others = [one for one in owners if one != subject.name]
        if others:
            yield issue(
                f"ports[{index}].hostPort", f"{host}:{port.host_port} is already published by gateway {others[0]}"
            )
        elif len(owners) > 1:
            yield issue(f"ports[{index}].hostPort", f"{host}:{port.host_port} is published twice")


def _image_folder(subject: Subject) -> Iterator[Issue]:
    folder = subject.obj.image.working_directory
    if folder and not folder.startswith("/"):
        yield issue("workingDirectory", f"{folder!r} is relative to nothing", "write an absolute path")


def _image_serves(subject: Subject) -> Iterator[Issue]:
    """An Image takes no running service's command away: by having none where another had one, or by another pattern."""
    for (image, service), container in subject.facts.stranded.items():
        lack = revisions.lacks_process(container, subject.facts.state)
        if image == subject.name and lack is not None:
            yield issue("", f"service {service} could not start any more: {lack[0]}", "give it a command")


def _refused_members(subject: Subject) -> Iterator[Issue]:
    yield from members.refused(ids.body(subject.obj).spec)  # type: ignore[attr-defined]


#: What must hold for an object of a kind.
RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "Cluster": (_cluster_name, _default_namespace, _refused_members),
        "Namespace": (_namespace_name, _live_names),
        "TaskDefinition": (*tasks.RULES, _refused_members),
        "Service": (*services.RULES, _refused_members),
        "Gateway": (_gateway_places, _gateway_ports),
        "Image": (_image_folder, _image_serves),
    }
)


#: Of those that need what is to be deleted, how many an error names.
_USERS_TOLD = 5


def check(obj: objects_pb2.Object, state: State) -> list[Issue]:
    """What is wrong with putting one object into a state; its issues have paths but no lines. Empty: nothing."""
    return check_batch([obj], [], state)


def check_batch(puts: Iterable[objects_pb2.Object], deletes: Iterable[tuple[str, str]], state: State) -> list[Issue]:
    """What is wrong with putting these objects and deleting those (kind, name), all at once.

    Each object is judged by the state that the whole batch would make. ``Issue.file`` is the object's kind and name.
    """
    puts, deletes = list(puts), list(deletes)
    facts = Facts(overlay(state, puts, deletes), state)
    found = [one.at(f"{ids.kind_of(obj)} {obj.meta.name}", 0, 0) for obj in puts for one in check_object(obj, facts)]
    for kind, name in deletes:
        found += [one.at(f"{kind} {name}", 0, 0) for one in check_delete(kind, name, facts)]
    return found


def check_object(obj: objects_pb2.Object, facts: Facts) -> Iterator[Issue]:
    """What is wrong with one object. Kinds that users do not write are not judged."""
    kind = ids.kind_of(obj)
    if kind not in RULES:
        return
    yield from check_members(ids.body(obj))
    subject = Subject(obj, facts)
    for rule in RULES[kind]:
        yield from rule(subject)


def check_delete(kind: str, name: str, facts: Facts) -> Iterator[Issue]:
    """What would be left without what it needs."""
    users = facts.users_of(kind, name)
    if len(users) == 1:
        yield issue("", f"{users[0]} needs it", "delete that first, or with it")
    elif users:
        more = f" and {len(users) - _USERS_TOLD} more" if len(users) > _USERS_TOLD else ""
        told = ", ".join(users[:_USERS_TOLD])
        yield issue("", f"{told}{more} need it", "delete these first, or with it")


def overlay(
    state: State, puts: Iterable[objects_pb2.Object], deletes: Iterable[tuple[str, str]] = ()
) -> dict[str, dict[str, objects_pb2.Object]]:
    """The state that a batch would make. Objects are shared with ``state``, never changed."""
    after = {kind: dict(objects) for kind, objects in state.items()}
    for kind, name in deletes:
        after.get(kind, {}).pop(name, None)
    for obj in puts:
        after.setdefault(ids.kind_of(obj), {})[obj.meta.name] = obj
    return after
