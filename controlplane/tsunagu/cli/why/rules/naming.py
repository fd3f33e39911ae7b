"""Is it a name and port of the caller's namespace at all, and may the caller see it? By the registry alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.cli.why.rules import leaving
from tsunagu.cli.why.verdict import Sure, Verdict
from tsunagu.kit.spelling import did_you_mean

if TYPE_CHECKING:
    from tsunagu.cli.why.facts import Alias, Facts

_HOST: Final = ("localhost", "localhost.localdomain", "::1", "0.0.0.0")  # noqa: S104 - called, not listened at
_MOST: Final = 6


def caller_without_connect(facts: Facts) -> Verdict | None:
    caller = facts.caller
    if caller.connect:
        return None
    what = f"{caller.service} has no Service Connect, so that its tasks have no proxy and no name of a namespace"
    remedy = "give it serviceConnectConfiguration with enabled: true, and apply it (its tasks are replaced)"
    return Verdict("no-service-connect", what, remedy, "task")


def caller_not_running(facts: Facts) -> Verdict | None:
    caller = facts.caller
    if caller.status == "RUNNING":
        return None
    if caller.status == "STOPPED":
        why = f": {caller.stopped_reason}" if caller.stopped_reason else ""
        return Verdict("caller-stopped", f"{caller.task} calls nobody any more, it has stopped{why}", "", "task")
    what = f"{caller.task} is {caller.status}, not RUNNING"
    remedy = "wait until it is: tsunagu wait --steady"
    if caller.status == "STOPPING":
        remedy = f"name another task, or the service {caller.service}: tsunagu ps"
    return Verdict("caller-not-running", what, remedy, "task", tried=False)


def not_of_the_mesh(facts: Facts) -> Verdict | None:
    target, caller = facts.target, facts.caller
    address = target.address
    if target.name in _HOST or (address is not None and address.is_loopback and not target.virtual):
        what = f"{target.name} is {caller.task} itself, and no call to it goes through the mesh"
        return Verdict("itself", what, _names_to_call(facts), "name")
    if address is not None and not target.virtual and not leaving.leaves(facts):
        owner = facts.addresses.get(target.name, "")
        if f"{target.name}:{target.port}" in facts.tls_alone:
            what = f"{target.name}:{target.port} is a port of {owner or 'a task'} that takes TLS alone, of members of its namespace, and a call to an address is none of theirs"
            remedy = f"call a name, so that the proxy of {caller.task} speaks TLS: {_offered(facts)}"
            return Verdict("not-a-member", what, remedy, "name")
        what = f"{target.name} is the address of {owner}" if owner else f"{target.name} is no address of a name"
        remedy = f"call a name, whose calls are balanced and retried: {_offered(facts)}"
        return Verdict("address-not-name", f"{what}, and a call to it passes by the mesh", remedy, "name")
    return None


def other_namespace(facts: Facts) -> Verdict | None:
    if facts.alias or _named(facts) or not facts.elsewhere:
        return None
    one = facts.elsewhere[0]
    what = f"{facts.target.name} is a name of namespace {one.namespace}, and {facts.caller.service} is in {facts.caller.namespace}"
    remedy = "a service sees the names of its own namespace: put both into one (serviceConnectConfiguration.namespace)"
    return Verdict("other-namespace", what, remedy, "name")


def by_dns(facts: Facts) -> Verdict | None:
    """A name of Service Discovery, which tasks look up, and whose calls no proxy carries."""
    if facts.alias or _named(facts) or facts.records is None:
        return None
    name = facts.target.name
    if not facts.records:
        what = f"{name} is a DNS name (Service Discovery) without an address at this moment"
        return Verdict("dns-empty", what, f"tsunagu resolve {name} says why of each instance", "name")
    what = (
        f"{name} is a DNS name (Service Discovery) of {', '.join(facts.records[:3])}; a call to it goes there past the mesh,"
        " without a proxy, and is not looked at here"
    )
    remedy = f"call a name of Service Connect, or see tsunagu resolve {name} --type SRV for its port"
    return Verdict("dns-name", what, remedy, "name", fault=False)


def not_a_backend(facts: Facts) -> Verdict | None:
    alias, caller = facts.alias, facts.caller
    if alias is None or not caller.backends or alias.discovery_name in caller.backends:
        return None
    what = f"{caller.service} has said that it calls {', '.join(caller.backends)} alone (tsunagu.backends), and not {alias.discovery_name}"
    return Verdict("not-a-backend", what, f"add {alias.discovery_name} to backends of {caller.service}", "name")


def discovery_name(facts: Facts) -> Verdict | None:
    """A name of the service, of its discovery or of its port, where its client alias is called otherwise."""
    if facts.alias or _named(facts) or facts.records is not None or leaving.leaves(facts):
        return None
    name = facts.target.name
    bare = name.split(".")[0]
    found = [
        one for one in facts.names if name in {one.service, one.discovery_name, f"{one.discovery_name}.{one.namespace}"}
    ]
    found = found or [one for one in facts.names if bare in {one.name, one.service, one.discovery_name}]
    found = found or [one for one in facts.names if one.name.split(".")[0] == name]
    if not found:
        return None
    one = found[0]
    what = f"nobody in {facts.caller.namespace} has the name {name}; {one.service} is called {one.name}:{one.port}"
    return Verdict("other-name", what, f"call that, or give {one.service} a client alias with dnsName {name}", "name")


def service_offers_nothing(facts: Facts) -> Verdict | None:
    if facts.alias or _named(facts):
        return None
    one = next((one for one in facts.services if one.name == facts.target.name), None)
    if one is None or one.offers:
        return None
    if not one.connect:
        remedy = "give it serviceConnectConfiguration with enabled: true and services"
        return Verdict("service-without-connect", f"the service {one.name} has no Service Connect", remedy, "name")
    if one.namespace != facts.caller.namespace:
        return None
    what = f"the service {one.name} is a client alone: it offers no port"
    remedy = "name its port mapping in serviceConnectConfiguration.services"
    return Verdict("client-only", what, remedy, "name")


def unknown_name(facts: Facts) -> Verdict | None:
    if facts.alias or _named(facts) or facts.records is not None or leaving.leaves(facts):
        return None
    target = facts.target
    if target.virtual:
        what = f"{target.name} is the virtual address of no name in {facts.caller.namespace}"
        return Verdict(
            "unknown-address", what, "call a name, since an address is given to another after a while", "name"
        )
    hint = did_you_mean(target.name, {one.name for one in facts.names}, _names_to_call(facts))
    counted = facts.unknown_lookups.get(target.name, 0)
    often = f" (it was looked up {counted} times)" if counted else ""
    return Verdict(
        "unknown-name",
        f"nobody in {facts.caller.namespace} has the name {target.name}{often}",
        hint.removesuffix("."),
        "name",
    )


def unknown_port(facts: Facts) -> Verdict | None:
    if facts.alias:
        return None
    offered = _named(facts)
    if not offered:
        return None
    target, caller = facts.target, facts.caller
    ports = ", ".join(str(one.port) for one in offered)
    times = facts.unoffered.get(f"{offered[0].name}:{target.port}", 0)
    often = f" (its apps did so {times} times since its Envoy started)" if times else ""
    called = f"{caller.service} called {offered[0].name}:{target.port}{often}"
    inside = next((one for one in offered if one.container_port == target.port), None)
    if inside:
        what = f"{called}, the port at which the app of {inside.service} listens; {inside.name} offers {ports}"
    else:
        what = f"{called}; {offered[0].name} offers {ports}"
    remedy = (
        f"call {offered[0].name}:{offered[0].port}, or give {offered[0].service} a client alias with port {target.port}"
    )
    return Verdict("unknown-port", what, remedy, "listener")


def frozen(facts: Facts) -> Verdict | None:
    alias, caller = facts.alias, facts.caller
    if alias is None or alias.visible or not alias.ip:
        return None
    what = (
        f"{caller.task} was deployed before {alias.name}:{alias.port} existed, and the namespace {alias.namespace} is"
        " frozen to what a deployment found (freeze: deployment)"
    )
    return Verdict("frozen", what, f"deploy it again: tsunagu restart {caller.service}", "name")


def https_to_plaintext(facts: Facts) -> Verdict | None:
    target, alias = facts.target, facts.alias
    if target.scheme != "https" or alias is None or not alias.is_http:
        return None
    what = f"{target} is called by https, and proxies expect plaintext at {'a' if alias.protocol == 'grpc' else 'an'} {alias.protocol} port"
    return Verdict("https", what, f"call http://{target}", "listener", tried=False)


def tcp_to_http(facts: Facts) -> Verdict | None:
    target, alias = facts.target, facts.alias
    if target.scheme != "tcp" or alias is None or not alias.is_http:
        return None
    what = f"{target} is {'a' if alias.protocol == 'grpc' else 'an'} {alias.protocol} port, and what is no HTTP is answered with 400 and closed"
    remedy = "speak HTTP, or take appProtocol out of the port mapping (it cannot be changed: delete and recreate the service)"
    return Verdict("tcp-to-http", what, remedy, "listener", tried=False)


def grpc_to_http(facts: Facts) -> Verdict | None:
    target, alias = facts.target, facts.alias
    if target.scheme != "grpc" or alias is None or alias.protocol != "http":
        return None
    what = f"{target} is an http port, whose app is spoken to in HTTP/1.1, and gRPC needs HTTP/2"
    remedy = "declare appProtocol grpc (it cannot be changed: delete and recreate the service)"
    return Verdict("grpc-to-http", what, remedy, "listener", tried=False)


def no_virtual_address(facts: Facts) -> Verdict | None:
    alias = facts.alias
    if alias is None or alias.ip:
        return None
    what = f"{alias.name} has no virtual address yet"
    return Verdict("no-address", what, "it gets one when the control plane runs: tsunagu wait", "name", Sure.LIKELY)


def _named(facts: Facts) -> list[Alias]:
    return [one for one in facts.names if facts.target.name in {one.name, one.ip}]


def _offered(facts: Facts) -> str:
    shown = [f"{one.name}:{one.port}" for one in facts.names[:_MOST]]
    more = len(facts.names) - _MOST
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") if shown else "there is none yet"


def _names_to_call(facts: Facts) -> str:
    return f"names of {facts.caller.namespace}: {_offered(facts)}"


RULES: Final = (
    *leaving.RULES,
    caller_without_connect,
    caller_not_running,
    not_of_the_mesh,
    other_namespace,
    service_offers_nothing,
    by_dns,
    discovery_name,
    unknown_name,
    unknown_port,
    not_a_backend,
    frozen,
    https_to_plaintext,
    tcp_to_http,
    grpc_to_http,
    no_virtual_address,
)
