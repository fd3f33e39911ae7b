"""Who may call whom, in words: what a port takes, and the verdict on one call with what would change it.

The one rule: the words follow from the values that `translate` is given, so that what is shown is what proxies have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tsunagu.cli.output import Cell
from tsunagu.mesh.access import remedies
from tsunagu.model.identity.modes import OFF, PERMISSIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tsunagu.mesh.access.questions import Answer, ServedPort
    from tsunagu.mesh.access.words import AccessRule, Call, Principal, Requests

PORTS: Final = ("SERVICE", "PORT", "PROTOCOL", "TLS", "TAKES", "REQUESTS", "POLICY")
EVERYBODY: Final = "every member"
NOBODY: Final = "nobody"


def rows(port: ServedPort) -> list[list[Any]]:
    """The rows of one port: one for each rule, or one that says that everything, or nothing, is taken."""
    own = [port.service, port.port_name, port.protocol, port.mode]
    audited = ", ".join(f"{name} (audit)" for name in port.admission.audited)
    if port.mode == OFF:
        return [[*own, "whoever connects", "-", "-"]]
    if port.admission.open:
        return [[*own, EVERYBODY, "-", audited or "-"]]
    found = [
        [*own, ", ".join(who(one, port.namespace) for one in rule.principals), what(rule), rule.name]
        for rule in port.admission.rules
    ]
    return found or [[*own, Cell(NOBODY, "red"), "-", ", ".join(port.admission.enforced)]]


def who(principal: Principal, namespace: str) -> str:
    """A principal in words. `namespace`: that of the policy, which is not said again."""
    if principal.anyone:
        return "anyone"
    if principal.below:
        own, *kind = principal.path.strip("/").split("/")[1:]
        words = "hosts" if kind else "everybody"
        return words if own == namespace else f"{words} of {own}"
    return " ".join(
        name if kind == "service" else f"of {name}" if kind == "namespace" else f"{kind} {name}"
        for kind, name in remedies.caller(principal.path, namespace).items()
    )


def what(rule: AccessRule) -> str:
    """The requests of a rule in words."""
    return ", ".join(map(_request, rule.requests)) or "-"


def _request(one: Requests) -> str:
    path = {"": "", "exact": one.path, "below": one.path.rstrip("/") + "/..."}[one.path_kind]
    return " ".join(filter(None, (one.method, path)))


def sentence(answer: Answer, asked: str, sources: Mapping[str, str]) -> str:
    """The verdict on a call. `asked`: who calls what. `sources`: name of a policy -> file and line."""
    port, verdict = answer.port, answer.verdict
    at = f"{port.service}, port {port.port_name}"
    if port.mode == OFF:
        return f"allowed: {asked}: TLS is off at {at}, so nobody is told from anybody else"
    if not verdict.allowed:
        names = ", ".join(_placed(name, sources) for name in port.admission.enforced)
        return f"refused: {asked}: {at} is selected by {names}, and no rule allows it"
    why = f"{verdict.rule} allows it" if verdict.rule else "no policy that is enforced selects it"
    said = f"allowed: {asked}: {at}: {why}"
    if verdict.audited:
        names = ", ".join(_placed(name, sources) for name in port.admission.audited)
        said += f"; it is counted as one that {names} would refuse"
    if port.mode == PERMISSIVE and not port.admission.open:
        said += "; who speaks plaintext is taken, too, as long as TLS is permissive"
    return said


def remedy(answer: Answer, sources: Mapping[str, str]) -> str:
    """What to write so that the call is allowed; empty if it is."""
    if not answer.remedy:
        return ""
    names = answer.port.admission.enforced or answer.port.admission.audited
    return f"to allow it, add to `allow` of {_placed(names[0], sources)}: {answer.remedy}"


def call_words(call: Call, protocol: str) -> str:
    """The request of a call in words; empty for tcp."""
    if protocol == "tcp":
        return ""
    return call.path.strip("/") if protocol == "grpc" else f"{call.method} {call.path}"


def as_values(answer: Answer) -> dict[str, Any]:
    """A verdict for programs."""
    port, verdict = answer.port, answer.verdict
    return {
        "service": port.service,
        "port": port.port_name,
        "namespace": port.namespace,
        "protocol": port.protocol,
        "tls": port.mode,
        "identity": answer.call.identity,
        "method": answer.call.method,
        "path": answer.call.path,
        "allowed": verdict.allowed,
        "rule": verdict.rule,
        "audited": verdict.audited,
        "policies": [*port.admission.enforced, *port.admission.audited],
        "remedy": answer.remedy,
    }


def ports_as_values(found: Sequence[ServedPort]) -> list[dict[str, Any]]:
    """What every port takes, for programs."""
    return [
        {
            "service": port.service,
            "port": port.port_name,
            "namespace": port.namespace,
            "protocol": port.protocol,
            "tls": port.mode,
            "enforced": list(port.admission.enforced),
            "audited": list(port.admission.audited),
            "open": port.admission.open,
            "takes": [
                {
                    "rule": rule.name,
                    "from": [who(one, port.namespace) for one in rule.principals],
                    "requests": [_request(one) for one in rule.requests],
                }
                for rule in port.admission.rules
            ],
        }
        for port in found
    ]


def _placed(name: str, sources: Mapping[str, str]) -> str:
    where = sources.get(name, "")
    return f"AccessPolicy {name} ({where})" if where else f"AccessPolicy {name}"
