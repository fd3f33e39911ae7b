"""Warnings about accepted objects: points on which AWS is ambiguous or would refuse, what does not act as written.

The one rule: a warning never stops an apply. What must stop it is an issue of ``validate``; what needs no more than a line
for each file is a note (``notes``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.model import ids, references, revisions
from tsunagu.model.manifests import templates
from tsunagu.model.rules.constraints import issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.manifests.reading import Document
    from tsunagu.model.rules.indexes import Indexes
    from tsunagu.v1 import objects_pb2

_CONNECT = "serviceConnectConfiguration"
_MOST_NAMED = 8


def warnings_for(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    """Yield the warnings about an object, as Issues without a place."""
    kind = ids.kind_of(obj)
    if kind == "TaskDefinition":
        yield from _task_definition(obj, indexes)
    elif kind == "Service" and references.connects(obj.service.spec):
        yield from _service(obj, indexes)
    elif kind == "Gateway":
        yield from _gateway(obj, indexes)


def unrendered(document: Document) -> Iterator[Issue]:
    """Yield a warning about the first text of a template that nobody rendered; it names the others."""
    if not document.unrendered:
        return
    (path, sign), *others = document.unrendered
    names = [other for other, _ in others]
    more = f" (also in {', '.join(names[:_MOST_NAMED])}{' ...' if len(names) > _MOST_NAMED else ''})" if names else ""
    yield issue(path, f"{sign} is passed on as it is{more}", templates.RENDER)


def _task_definition(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    spec = obj.task_definition.spec
    for index, container in enumerate(spec.container_definitions):
        if revisions.is_left_out(container, indexes.state):
            yield issue(
                f"containerDefinitions[{index}]",
                f"log router {container.name!r} is not started: `tsunagu logs` shows logs",
            )
    for i, j, _, mapping in references.port_mappings(spec):
        if mapping.host_port not in (0, mapping.container_port):
            path = f"containerDefinitions[{i}].portMappings[{j}].hostPort"
            yield issue(
                path, "no effect here: a task has an address of its own; `kind: Gateway` opens ports of this machine"
            )


def _service(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    spec = obj.service.spec
    config = spec.service_connect_configuration
    definition = indexes.task_definition(spec)
    if definition is not None and not definition.spec.memory:
        name = f"{definition.spec.family}:{definition.revision}"
        yield issue(
            "taskDefinition",
            f"{name} has no task-level memory: AWS would not start it with Service Connect; here it runs",
        )
    if config.namespace.startswith("arn:"):
        name = references.namespace_name(config.namespace)
        yield issue(f"{_CONNECT}.namespace", f"an ARN does not hold the namespace's name; it is called {name!r} here")
    if config.HasField("access_log_configuration") and not config.HasField("log_configuration"):
        yield issue(f"{_CONNECT}.accessLogConfiguration", "AWS wants logConfiguration beside it; here it works without")
    yield from _open_names(obj, indexes)


def _open_names(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    """AWS's texts contradict each other about the name of an alias without a dnsName."""
    spec = obj.service.spec
    namespace = references.namespace_of(spec, indexes.state)
    for index, offered in enumerate(spec.service_connect_configuration.services):
        if not offered.client_aliases or not all(one.dns_name for one in offered.client_aliases):
            names = [alias.dns_name for alias in revisions.aliases(offered, 0, namespace)]
            yield issue(f"{_CONNECT}.services[{index}]", f"has no dnsName; callers may use {' or '.join(names)}")


def _gateway(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    gateway = obj.gateway
    for index, port in enumerate(gateway.ports):
        if (gateway.namespace, port.alias, str(port.port)) not in indexes.aliases:
            yield issue(
                f"ports[{index}].alias",
                f"no service offers {port.alias}:{port.port} in namespace {gateway.namespace!r} yet",
            )
