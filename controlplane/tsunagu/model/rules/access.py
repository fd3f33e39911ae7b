"""What an AccessPolicy must be to be kept: its service and ports exist, and each of its rules can be enforced where it is written.

The one rule: what Envoy could not enforce is refused, with what it can; nobody should believe in a method of a tcp port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import references
from tsunagu.model.identity.modes import OFF, PERMISSIVE, STRICT
from tsunagu.model.rules import traffic
from tsunagu.model.rules.constraints import issue, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.indexes import Indexes
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import access_pb2

_CALLERS: Final = ("service", "family", "gateway", "hosts", "everybody", "anyone")


def modes_of(service: str, indexes: Indexes) -> Mapping[str, str]:
    """Port name -> mode of TLS of what a service (CLUSTER/SERVICE) offers: that of its namespace, or strict if it has `tls` itself."""
    found = indexes.objects("Service").get(service)
    if found is None:
        return {}
    namespace = indexes.objects("Namespace").get(references.namespace_of(found.service.spec, indexes.state))
    mode = namespace.namespace.tls or OFF if namespace is not None else OFF
    offered = found.service.spec.service_connect_configuration.services
    return {one.port_name: STRICT if one.HasField("tls") else mode for one in offered}


def ports_of(service: str, indexes: Indexes) -> Mapping[str, str]:
    """Port name -> protocol of what a service (CLUSTER/SERVICE) offers through Service Connect, where its task definition is known."""
    found = indexes.objects("Service").get(service)
    definition = indexes.task_definition(found.service.spec) if found is not None else None
    if found is None or definition is None:
        return {}
    offered = found.service.spec.service_connect_configuration.services
    ports = ((one.port_name, references.port_named(one.port_name, definition.spec)) for one in offered)
    return {name: port.app_protocol or "tcp" for name, port in ports if port is not None}


def target(subject: Subject) -> Iterator[Issue]:
    """The service is there, is connected to the policy's namespace, and offers the ports."""
    to, namespace = subject.obj.access_policy.to, subject.name.partition("/")[0]
    name = references.service_name(to.service)
    services = subject.indexes.objects("Service")
    found = services.get(name)
    if found is None:
        yield issue("to.service", f"there is no service {name!r}", did_you_mean(name, services))
        return
    if not references.connects(found.service.spec):
        yield issue("to.service", f"{name} is not connected: no proxy stands before it", "enable its Service Connect")
        return
    lives = references.namespace_of(found.service.spec, subject.indexes.state)
    if lives != namespace:
        yield issue("to.service", f"{name} is in namespace {lives}", f"name the policy {lives}/...")
        return
    offered = ports_of(name, subject.indexes)
    for index, port in enumerate(to.ports):
        if port not in offered:
            hint = did_you_mean(port, offered) or (f"it offers {words(offered)}" if offered else "")
            yield issue(f"to.ports[{index}]", f"{name} offers no port {port!r}", hint)


def callers(subject: Subject) -> Iterator[Issue]:
    """Each entry of `from` says one caller. One that is not there yet is a warning, not an issue."""
    for index, rule in enumerate(subject.obj.access_policy.allow):
        for number, caller in enumerate(rule.callers):
            path = f"allow[{index}].from[{number}]"
            said = [field for field in _CALLERS if getattr(caller, field)]
            if len(said) != 1 and not (caller.namespace and not said):
                yield issue(
                    path, f"must say one caller, has {words(said) or 'none'}", f"write one of {words(_CALLERS)}"
                )
            elif not said:
                yield issue(
                    path, "says where callers are, not who", f"{{namespace: {caller.namespace}, everybody: true}}"
                )
            if caller.cluster and not caller.family:
                yield issue(f"{path}.cluster", "is of a family", "of a service write CLUSTER/SERVICE")
            if caller.anyone and caller.namespace:
                yield issue(f"{path}.namespace", "anyone is of every namespace", "write everybody: true")


def requests(subject: Subject) -> Iterator[Issue]:
    """The requests of a rule are such as the selected ports have."""
    policy = subject.obj.access_policy
    offered = ports_of(references.service_name(policy.to.service), subject.indexes)
    selected = {name: kind for name, kind in offered.items() if not policy.to.ports or name in policy.to.ports}
    for index, rule in enumerate(policy.allow):
        for number, request in enumerate(rule.requests):
            path = f"allow[{index}].requests[{number}]"
            yield from _shape(path, request)
            yield from _protocol(path, request, selected)


def _shape(path: str, request: access_pb2.AccessRequest) -> Iterator[Issue]:
    if not request.ListFields():
        yield issue(path, "says nothing of a request", "leave requests out: every request is allowed then")
    if request.path and request.prefix:
        yield issue(path, "must not set both path and prefix")
    for field in ("path", "prefix"):
        written = getattr(request, field)
        if written and not written.startswith("/"):
            yield issue(f"{path}.{field}", f"{written!r} does not begin with '/'")
        if "?" in written or "#" in written:
            yield issue(f"{path}.{field}", "a path is compared without its query", "leave out what follows '?'")
    if request.method_name and not request.service_name:
        yield issue(f"{path}.methodName", "needs serviceName", "write the service of which it is a method")
    if request.service_name and (request.method or request.path or request.prefix):
        yield issue(
            f"{path}.serviceName", "is the path of a gRPC call; method, path and prefix are another's", "leave one out"
        )


def _protocol(path: str, request: access_pb2.AccessRequest, selected: Mapping[str, str]) -> Iterator[Issue]:
    for name, protocol in selected.items():
        alone = f"select other ports: to.ports, without {name}"
        if protocol == "tcp":
            yield issue(path, f"port {name} speaks tcp: all that can be said of it is who calls", alone)
        elif protocol == "grpc" and not request.service_name:
            yield issue(
                path, f"port {name} speaks grpc", "write serviceName (and methodName) instead of method, path, prefix"
            )
        elif protocol != "grpc" and request.service_name:
            yield issue(
                f"{path}.serviceName", f"port {name} speaks {protocol}, not grpc", "write method, path or prefix"
            )


def unknown_callers(subject: Subject) -> Iterator[Issue]:
    """Yield a warning about each caller that there is not: it may come, but a misspelt one hides who was meant."""
    own = subject.name.partition("/")[0]
    gateways, namespaces = subject.indexes.objects("Gateway"), subject.indexes.objects("Namespace")
    for index, rule in enumerate(subject.obj.access_policy.allow):
        for number, caller in enumerate(rule.callers):
            path = f"allow[{index}].from[{number}]"
            namespace = caller.namespace or own
            if namespace not in namespaces:
                yield issue(
                    f"{path}.namespace", f"there is no namespace {namespace!r} yet", did_you_mean(namespace, namespaces)
                )
            elif caller.service:
                yield from _unknown_service(path, caller.service, namespace, subject.indexes)
            elif caller.gateway and caller.gateway not in gateways:
                yield issue(
                    f"{path}.gateway",
                    f"there is no gateway {caller.gateway!r} yet",
                    did_you_mean(caller.gateway, gateways),
                )


def _unknown_service(path: str, written: str, namespace: str, indexes: Indexes) -> Iterator[Issue]:
    services = indexes.objects("Service")
    name = references.service_name(written)
    found = services.get(name)
    if found is None:
        yield issue(f"{path}.service", f"there is no service {name!r} yet", did_you_mean(name, services))
    elif references.namespace_of(found.service.spec, indexes.state) != namespace:
        lives = references.namespace_of(found.service.spec, indexes.state)
        hint = f"write namespace: {lives}" if lives else "a service without a namespace has no identity in one"
        yield issue(f"{path}.service", f"{name} is not in namespace {namespace}: nobody is admitted by this", hint)


def enforceable(subject: Subject) -> Iterator[Issue]:
    """Every selected port tells its callers apart."""
    open_ports = _without_identities(subject.obj.access_policy, subject.indexes)
    if open_ports:
        namespace = subject.name.partition("/")[0]
        reason = f"cannot be enforced at {words(open_ports)}: TLS is off there, so callers have no identity"
        yield issue("to", reason, f"write `tls: strict` in kind: Namespace {namespace}, or `tls` in the service")


def still_enforceable(subject: Subject) -> Iterator[Issue]:
    """What a namespace or a service says of TLS leaves no policy without identities."""
    indexes = subject.indexes
    for name, obj in indexes.objects("AccessPolicy").items():
        concerned = subject.name in (name.partition("/")[0], references.service_name(obj.access_policy.to.service))
        if concerned and indexes.is_as_before("AccessPolicy", name) and _without_identities(obj.access_policy, indexes):
            yield issue(
                "tls" if subject.obj.HasField("namespace") else "serviceConnectConfiguration",
                f"AccessPolicy {name} could not be enforced any more: TLS would be off",
                "delete that first, or with it",
            )


def _without_identities(policy: access_pb2.AccessPolicy, indexes: Indexes) -> list[str]:
    """The selected ports at which TLS is off."""
    modes = modes_of(references.service_name(policy.to.service), indexes)
    return [port for port, mode in modes.items() if mode == OFF and (not policy.to.ports or port in policy.to.ports)]


def plaintext_callers(subject: Subject) -> Iterator[Issue]:
    """Yield a warning if callers without an identity are taken all the same."""
    policy = subject.obj.access_policy
    modes = modes_of(references.service_name(policy.to.service), subject.indexes)
    taken = [
        port for port, mode in modes.items() if mode == PERMISSIVE and (not policy.to.ports or port in policy.to.ports)
    ]
    if taken:
        yield issue(
            "to",
            f"callers that speak plaintext are let in at {words(taken)} all the same, until the namespace is `tls: strict`",
        )


RULES: Final = (traffic.namespace_exists, target, callers, requests, enforceable)
