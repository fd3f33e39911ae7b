"""The way of a call, step by step: what the control plane means beside what was found. It is what `--verbose` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.cli.output import age
from tsunagu.cli.why.rules.answering import reached
from tsunagu.cli.why.rules.listening import OURS, reaches
from tsunagu.cli.why.verdict import State, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.cli.why.facts import Facts, Identity, Server


def walk(facts: Facts) -> tuple[Step, ...]:
    """Every step, also those behind the fault: they show how far the rest is."""
    return tuple(_steps(facts))


def _steps(facts: Facts) -> Iterator[Step]:
    caller, alias = facts.caller, facts.alias
    good = caller.status == "RUNNING" and caller.connect
    yield Step(
        "task",
        _state(good),
        f"{caller.service} in {caller.namespace or 'no namespace'}",
        f"{caller.task} {caller.status}",
    )
    yield _name(facts)
    if alias is None:
        return
    yield from _proxy(facts)
    yield _endpoints(facts)
    yield from (_identity(one) for one in facts.identities)
    if facts.access is not None:
        yield Step(
            "access", _state(facts.access.allowed), ", ".join(facts.access.policies), facts.access.rule or "no rule"
        )
    for server in facts.servers:
        yield from _server(facts, server)
    answer = facts.answer
    what = f"{facts.target}{facts.target.path or ('/' if alias.is_http else '')}"
    yield Step(
        "call", _state(None if answer is None else reached(facts)), what, answer.words if answer else "none was made"
    )


def _name(facts: Facts) -> Step:
    alias, names = facts.alias, facts.hosts_file
    if alias is None and facts.records:
        return Step("name", State.GOOD, "a DNS name of Service Discovery", ", ".join(facts.records))
    if alias is None:
        return Step("name", State.BAD, "offered by nobody", str(facts.target))
    shown = None if names is None else names.get(alias.name, "")
    found = "not known" if shown is None else f"/etc/hosts: {shown or 'no line'}"
    meant = f"{alias.name}:{alias.port} is {alias.ip or 'without an address'}, offered by {alias.service} ({alias.protocol})"
    return Step("name", _state(None if shown is None else shown == alias.ip and alias.visible), meant, found)


def _proxy(facts: Facts) -> Iterator[Step]:
    stream, held = facts.stream, facts.held
    if stream is not None:
        found = ", ".join(f"{one.type} {one.state}" for one in stream.types)
        fine = stream.connected and all(one.state == "SYNCED" for one in stream.types)
        yield Step("xds", _state(fine), "connected" if stream.connected else "not connected", found)
    if held is None:
        yield Step("envoy", State.UNKNOWN, "", "; ".join(facts.missing.values()))
        return
    route = held.matched or held.route or "none"
    yield Step(
        "listener", _state(held.listener == "active"), facts.alias.ip if facts.alias else "", held.listener or "none"
    )
    leads = held.direct or held.cluster_name or "nowhere"
    policy = f", as TrafficPolicy {facts.policy} says" if facts.policy else ""
    yield Step("route", _state(bool(held.cluster_name)), "", f"{route} -> {leads}{policy}")
    yield Step("cluster", _state(held.cluster == "active"), held.cluster_name, held.cluster or "none")


def _endpoints(facts: Facts) -> Step:
    meant = ", ".join(f"{one.task} {one.address}" for one in facts.serving) or "none serves"
    held = facts.held
    if held is None:
        return Step("endpoints", _state(None if facts.serving else False), meant, "not known")
    words = [f"{one.address} {'EJECTED' if one.ejected else one.health}" for one in held.hosts]
    usable = bool(held.hosts) and all(one.usable for one in held.hosts)
    return Step("endpoints", _state(usable), meant, ", ".join(words) or "none")


def _identity(one: Identity) -> Step:
    if one.shown is None:
        return Step(f"identity of {one.task}", State.BAD, one.given, one.problem or "no certificate")
    good = one.shown.left > 0 and one.shown.serial == one.given and one.trusted
    until = f"for {age(one.shown.left)}" if one.shown.left > 0 else f"expired {age(-one.shown.left)} ago"
    return Step(f"identity of {one.task}", _state(good), one.given, f"{one.shown.serial} {until}")


def _server(facts: Facts, server: Server) -> Iterator[Step]:
    ingress = server.envoy or (
        "listens" if server.ingress else "no listener" if server.ingress is False else "not known"
    )
    state = State.BAD if server.envoy else _state(server.ingress)
    yield Step(f"ingress of {server.task}", state, "", ingress)
    at = ", ".join(f"{address}:{port}" for address, port in server.listening or () if port not in OURS) or "no port"
    found = "not known where it listens" if server.listening is None else f"listens at {at}"
    for name, answer in (
        ("asked directly", server.app),
        ("asked by HTTP/2", server.http2),
        ("asked by TLS", server.tls),
    ):
        found += (
            f"; {name}: {answer.words if not answer.spoke or answer.status else f'speaks {answer.spoke}'}"
            if answer
            else ""
        )
    fine = reaches(server)
    if server.app is not None and (server.app.refused or server.app.timed_out or server.app.status >= 500):
        fine = False if server.app.refused or (facts.alias and facts.alias.is_http) else fine
    yield Step(f"app of {server.task}", _state(fine), f"127.0.0.1:{server.container_port}", found)


def _state(fine: bool | None) -> State:
    return {True: State.GOOD, False: State.BAD, None: State.UNKNOWN}[fine]
