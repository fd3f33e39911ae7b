"""Warnings about accepted objects: points on which AWS is ambiguous or would refuse, what does not act as written.

The one rule: a warning never stops an apply. What must stop it is an issue of ``validate``; what needs no more than a line
for each file is a note (``notes``).
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import cloud_map, ids, images, references
from tsunagu.model.deployments import alarm_rules
from tsunagu.model.manifests import aws_differences, templates
from tsunagu.model.outside import external
from tsunagu.model.rules import access, deployments, registries, tasks, traffic
from tsunagu.model.rules.constraints import issue
from tsunagu.model.rules.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tsunagu.model.errors import Issue
    from tsunagu.model.manifests.reading import Document
    from tsunagu.model.rules.indexes import Indexes
    from tsunagu.v1 import objects_pb2

_CONNECT = "serviceConnectConfiguration"
_MOST_NAMED = 8
_LONGEST_COMMAND = 60


#: Controllers other than ECS -> as what they run here, and what says more.
_CONTROLLERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "CODE_DEPLOY": (
            "CodeDeploy does not deploy here: every change is a BLUE_GREEN deployment of ECS",
            "for what its deployment group says see docs/deployments.md",
        ),
        "EXTERNAL": (
            "no task sets are made here: every change of its taskDefinition rolls",
            "write strategy CANARY or LINEAR in place of task sets with a scale each",
        ),
    }
)


def warnings_for(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    """Yield the warnings about an object, as Issues without a place."""
    yield from _WARNINGS.get(ids.kind_of(obj), _none)(obj, indexes)


def _none(_: objects_pb2.Object, __: Indexes) -> Iterator[Issue]:
    yield from ()


def unrendered(document: Document) -> Iterator[Issue]:
    """Yield a warning about the first text of a template that nobody rendered; it names the others."""
    if not document.unrendered:
        return
    (path, sign), *others = document.unrendered
    names = [other for other, _ in others]
    more = f" (also in {', '.join(names[:_MOST_NAMED])}{' ...' if len(names) > _MOST_NAMED else ''})" if names else ""
    yield issue(path, f"{sign} is passed on as it is{more}", templates.RENDER)


def _cluster(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    written = obj.cluster.spec.service_connect_defaults.namespace
    yield from _unknown_arn("serviceConnectDefaults.namespace", written, indexes)


def _task_definition(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    spec = obj.task_definition.spec
    for index, container in enumerate(spec.container_definitions):
        path = f"containerDefinitions[{index}]"
        image = references.image_for(container.image, indexes.state)
        if image is not None and image.skip:
            yield issue(path, f"container {container.name!r} is skipped, as its Image says: nothing waits for it")
        elif images.is_left_out(container, indexes.state):
            yield issue(path, f"log router {container.name!r} is not started: `tsunagu logs` shows logs")
        if tasks.is_bare_check(container.health_check.command):
            program = container.health_check.command[0]
            yield issue(
                f"{path}.healthCheck.command", f'runs as ["CMD", "{program}"]: AWS wants CMD or CMD-SHELL in front'
            )
        if tasks.is_line_as_program(container.health_check.command):
            line = container.health_check.command[1]
            yield issue(
                f"{path}.healthCheck.command",
                f"CMD starts the program {line!r}, which is a line for a shell: the check always fails",
                f"write {json.dumps(['CMD-SHELL', line])}",
            )
    published = spec.network_mode == "bridge" and images.run_in_images(spec, indexes.state)
    for i, j, _, mapping in references.port_mappings(spec):
        if mapping.host_port not in (0, mapping.container_port) and not published:
            path = f"containerDefinitions[{i}].portMappings[{j}].hostPort"
            yield issue(
                path, "no effect here: a task has an address of its own; `kind: Gateway` opens ports of this machine"
            )


def _service(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    spec = obj.service.spec
    if spec.deployment_controller.type in _CONTROLLERS:
        yield issue("deploymentController.type", *_CONTROLLERS[spec.deployment_controller.type])
    if spec.scheduling_strategy == "DAEMON":
        yield issue("schedulingStrategy", "DAEMON: one task on each node, and this machine is one node")
    yield from registries.unregistered(spec, indexes.state)
    yield from deployments.hooks_without_stages(spec)
    watched = spec.deployment_configuration.alarms
    if watched.enable:
        yield from alarm_rules.of_service("deploymentConfiguration.alarms", list(watched.alarm_names), indexes)
    if references.connects(spec):
        yield from _connected(obj, indexes)
    yield from _backends(obj.service, indexes)


def _alarm(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    yield from alarm_rules.warnings(Subject(obj, indexes))


def _backends(service: objects_pb2.Service, indexes: Indexes) -> Iterator[Issue]:
    """A backend that nobody offers yet may come; a misspelt one hides what was meant."""
    namespace = references.namespace_of(service.spec, indexes.state)
    known = {name for owner, name in indexes.discovery_names if owner == namespace}
    for index, name in enumerate(service.settings.backends):
        if not references.connects(service.spec):
            yield issue(f"tsunagu.backends[{index}]", "has no effect: the service is not connected")
        elif name not in known:
            yield issue(f"tsunagu.backends[{index}]", f"nobody offers {name!r} yet", did_you_mean(name, known))


def _namespace(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    name = obj.meta.name
    if cloud_map.is_dns(name, indexes.state) and cloud_map.is_of_mdns(name):
        reason = (
            "machines with multicast DNS ask no name server for names in .local: programs outside may not find them"
        )
        yield issue(
            "name", f"{reason} (tasks do)", f"a name like {name[: -len('.local')] or 'shop'}.internal is free of that"
        )


def _connected(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    spec = obj.service.spec
    yield from _unknown_arn(f"{_CONNECT}.namespace", spec.service_connect_configuration.namespace, indexes)
    yield from aws_differences.refused_there(spec, indexes.state)


def _unknown_arn(path: str, written: str, indexes: Indexes) -> Iterator[Issue]:
    """An ARN does not hold the name, so a namespace that others call by its name would be another one."""
    if not written.startswith("arn:") or references.namespace_with(written, indexes.state):
        return
    here = references.namespace_name(written, indexes.state)
    named = sorted(indexes.plain_namespaces - {here})
    beside = f", and others are in {', '.join(named)}: if that is the same, they do not see each other" if named else ""
    right = f"{{kind: Namespace, name: {named[0] if named else 'NAME'}, arn: {written}}} tells its name"
    yield issue(path, f"an ARN does not hold the namespace's name; it is called {here!r} here{beside}", right)


def _gateway(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    gateway = obj.gateway
    offered = [f"{alias}:{port}" for namespace, alias, port in indexes.aliases if namespace == gateway.namespace]
    for index, port in enumerate(gateway.ports):
        name = f"{port.alias}:{port.port}"
        if port.alias and name not in offered:
            reason = f"no service offers {name} in namespace {gateway.namespace!r} yet"
            yield issue(f"ports[{index}].alias", reason, did_you_mean(name, offered))


def _image(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    """An Image that changes nothing says so: most often its command was to replace a container's own."""
    image = obj.image
    users = indexes.image_users.get(obj.meta.name, [])
    acts = image.override or image.skip or image.entry_point or image.HasField("health_check")
    own = [(name, one) for name, one in users if references.runs_by_itself(one)]
    if not users and any(fnmatchcase(one, image.pattern) for one in indexes.image_references):
        yield issue("pattern", "has no effect: an Image with a longer pattern is for the same containers")
    if users and image.command and not acts and len(own) == len(users):
        name, container = own[0]
        program = " ".join((*container.entry_point, *container.command))
        shown = program if len(program) <= _LONGEST_COMMAND else program[:_LONGEST_COMMAND] + "..."
        why = f"container {container.name!r} of {name} has one of its own ({shown})"
        hint = (
            "`override: true` lets the Image's win; `entryPoint` takes the container's as arguments, as an image does"
        )
        yield issue("command", f"has no effect: {why}", hint)


def _access_policy(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    subject = Subject(obj, indexes)
    yield from access.unknown_callers(subject)
    yield from access.plaintext_callers(subject)


def _route(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    yield from traffic.calls_led_to_http(Subject(obj, indexes))


def _external(obj: objects_pb2.Object, indexes: Indexes) -> Iterator[Issue]:
    """In containers a refused connection to this machine is made first (docs/traffic/outside.md), so no other address is tried."""
    body = obj.external
    sees_no_refusal = external.protocol(body) == "tcp" and not body.HasField("tls")
    if not sees_no_refusal or len(body.addresses) == 1 or not images.node_for_images(indexes.state):
        return
    local = [index for index, one in enumerate(body.addresses) if one.lower().startswith(f"{external.HOST}:")]
    if local:
        reason = (
            "a tcp connection from a container that is led here and refused is closed, and no other address is tried"
        )
        yield issue(f"addresses[{local[0]}]", reason, "give it one address")


_WARNINGS: Mapping[str, Callable[[objects_pb2.Object, Indexes], Iterator[Issue]]] = MappingProxyType(
    {
        "Cluster": _cluster,
        "TaskDefinition": _task_definition,
        "Namespace": _namespace,
        "Service": _service,
        "Gateway": _gateway,
        "Image": _image,
        "External": _external,
        "Route": _route,
        "AccessPolicy": _access_policy,
        "Alarm": _alarm,
    }
)
