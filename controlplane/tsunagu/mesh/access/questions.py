"""Who may call whom: the verdicts on one call, at every port where it may arrive, as the proxies there will give them.

The one rule: everything is read from a View, so the answer is that of the registry at one revision; whether every proxy has
acknowledged that is the barrier's business (`tsunagu wait`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.mesh import tls
from tsunagu.mesh.access import admissions, remedies
from tsunagu.mesh.access.words import OPEN, Call
from tsunagu.mesh.frozenmap import FrozenMap
from tsunagu.mesh.traffic.model import Forward
from tsunagu.model.identity.modes import OFF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.mesh.access.words import Admission, Verdict
    from tsunagu.mesh.rows import PortRow
    from tsunagu.mesh.view import Alias, View


@dataclass(frozen=True, slots=True)
class ServedPort:
    """A port of a service, what it takes, and the mode of its TLS: off, permissive, strict. `service`: CLUSTER/SERVICE."""

    namespace: str
    service: str
    port_name: str
    discovery_name: str
    protocol: str
    mode: str
    admission: Admission


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict of one port on a call. `remedy`: the entry of `allow` that would allow it; empty if it is allowed."""

    port: ServedPort
    call: Call
    verdict: Verdict
    remedy: str = ""


def served_ports(view: View) -> Iterator[ServedPort]:
    """Every port of every service, by namespace, service and port."""
    found = {}
    for revision in view.tables.in_force.values():
        if not revision.registered:
            for port in revision.ports:
                found[revision.namespace, revision.service, port.port_name] = port
    for namespace, service, _ in sorted(found):
        yield _served(view, namespace, service, found[namespace, service, _])


def ask(view: View, alias: Alias, call: Call) -> tuple[Answer, ...]:
    """The verdicts on a call of an alias: of each service that its rules may lead it to. Nobody there: none."""
    names = {alias.row.discovery_name} if alias.row.protocol == "tcp" else set(_destinations(view, alias))
    ports = {}
    for name in names:
        for provider in view.tables.ports.get(alias.namespace, FrozenMap()).get(name, frozenset()):
            revision = view.tables.in_force[provider.revision]
            if not revision.registered:
                ports[revision.service, revision.ports[provider.slot].port_name] = revision.ports[provider.slot]
    return tuple(_answer(_served(view, alias.namespace, key[0], ports[key]), call) for key in sorted(ports))


def _destinations(view: View, alias: Alias) -> Iterator[str]:
    for rule in view.table(alias):
        if isinstance(rule.action, Forward):
            yield from (target.to.discovery_name for target in rule.action.targets)


def _served(view: View, namespace: str, service: str, port: PortRow) -> ServedPort:
    mode = tls.mode(view.tables, namespace, port)
    admission = OPEN if mode == OFF else admissions.of_port(view, service, namespace, port.port_name)
    return ServedPort(namespace, service, port.port_name, port.discovery_name, port.protocol, mode, admission)


def _answer(port: ServedPort, call: Call) -> Answer:
    at = Call(call.identity) if port.protocol == "tcp" else call
    verdict = port.admission.verdict(at)
    allowed = verdict.allowed and not verdict.audited
    return Answer(port, at, verdict, "" if allowed else remedies.entry(at, port.namespace, port.protocol))
