"""What is wrong with an External: its name does not resolve, nothing takes a connection there, or its certificate is refused.

Nobody of this mesh can look into what is outside of it: all that is known is what the caller's Envoy has met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.cli.why.rules.answering import from_app, reached
from tsunagu.cli.why.verdict import Sure, Verdict
from tsunagu.model.cloud_map import as_registered
from tsunagu.model.outside.external import HOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.cli.why.facts import Alias, Answer, ExternalTls, Facts

#: Of a cluster: what Envoy counts of the TLS handshakes that fail.
_OTHER_NAME: Final = "ssl.fail_verify_san"
_NOT_TRUSTED: Final = "ssl.fail_verify_error"
_NO_HANDSHAKE: Final = "ssl.connection_error"
_TRUSTED: Final = {True: "tls.caFile", False: "this machine"}


def unresolved(facts: Facts) -> Verdict | None:
    alias, held = _external(facts), facts.held
    if alias is None or held is None or held.cluster != "active" or held.hosts or not alias.resolved:
        return None
    text = f"{', '.join(alias.resolved)} of External {alias.external} does not resolve for {facts.caller.task}"
    return Verdict(
        "external-unresolved", text, "correct its addresses, or the name servers of this machine", "endpoints"
    )


def handshake(facts: Facts) -> Verdict | None:
    """TLS with it fails. Envoy says no more than its counters do, which have counted since it started: with several, it is likely."""
    alias = _external(facts)
    counted = [stat for stat in (_OTHER_NAME, _NOT_TRUSTED, _NO_HANDSHAKE) if facts.held and facts.held.stat(stat)]
    if alias is None or alias.tls is None or facts.answer is None or reached(facts) or not counted:
        return None
    kind, what, remedy = _FAILURES[counted[0]](_places(facts), alias.tls)
    sure = Sure.YES if len({*counted} - {_NO_HANDSHAKE}) < 2 else Sure.LIKELY
    return Verdict(kind, what, f"{remedy} (External {alias.external})", "endpoints", sure)


def _other_name(place: str, tls: ExternalTls) -> tuple[str, str, str]:
    names = ", ".join(tls.names) or "the one that is called"
    return (
        "external-name",
        f"the certificate of {place} has none of the names that it must have ({names})",
        "correct tls.serverName or tls.subjectAltNames",
    )


def _not_trusted(place: str, tls: ExternalTls) -> tuple[str, str, str]:
    return (
        "external-certificate",
        f"the certificate of {place} is refused: it has expired, or nobody whom {_TRUSTED[tls.own_authorities]} trusts has signed it",
        "renew it there, or give the authority that signed it as tls.caFile",
    )


def _no_handshake(place: str, _tls: ExternalTls) -> tuple[str, str, str]:
    return (
        "external-no-tls",
        f"{place} does not speak TLS, or none that Envoy takes",
        "correct its port, or leave tls out",
    )


_FAILURES: Final[dict[str, Callable[[str, ExternalTls], tuple[str, str, str]]]] = {
    _OTHER_NAME: _other_name,
    _NOT_TRUSTED: _not_trusted,
    _NO_HANDSHAKE: _no_handshake,
}


def closed(facts: Facts) -> Verdict | None:
    """Nothing takes a connection there."""
    alias, held, answer = _external(facts), facts.held, facts.answer
    if alias is None or held is None or answer is None or reached(facts) or not held.hosts:
        return None
    failed = sum(one.connect_failures for one in held.hosts)
    if not failed or _met_tls(facts):
        return None
    slow = held.stat("upstream_cx_connect_timeout") >= failed
    how = "packets get no answer, as if something dropped them" if slow else "nothing there takes a connection"
    text = f"{_places(facts)}, outside of the mesh, cannot be reached: {how}"
    return Verdict("external-down", text, f"start it, or correct addresses of External {alias.external}", "endpoints")


def _external(facts: Facts) -> Alias | None:
    """The External that is called, if it is one and the call just now was not answered by it."""
    alias = facts.alias
    if alias is None or not alias.external or (facts.answer is not None and _served(facts.answer)):
        return None
    return alias


def _served(answer: Answer) -> bool:
    return from_app(answer) and bool(answer.status)


def _met_tls(facts: Facts) -> bool:
    stats = (_OTHER_NAME, _NOT_TRUSTED, _NO_HANDSHAKE)
    return facts.held is not None and any(facts.held.stat(stat) for stat in stats)


def _places(facts: Facts) -> str:
    places = [
        f"{HOST if one.ip.startswith('169.254.88.') else as_registered(one.ip)}:{one.port}" for one in facts.serving[:3]
    ]
    return ", ".join(places) or str(facts.target)


RULES: Final = (unresolved, handshake, closed)
