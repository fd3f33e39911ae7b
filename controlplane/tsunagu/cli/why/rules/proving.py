"""Do both sides prove who they are? What each Envoy shows beside what the control plane has signed for it, and what the caller's has
counted of the call just now.

The one rule: an Envoy does not say who has signed what it shows. So a certificate is another's for sure only by its names and
its time; one that nobody here has signed is likely the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.cli.output import age
from tsunagu.cli.why.rules.answering import reached
from tsunagu.cli.why.verdict import Sure, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.cli.why.facts import Facts, Identity

#: Of the caller's cluster: what Envoy counts of the handshakes that it ends itself.
_OTHER_NAME: Final = "ssl.fail_verify_san"
_NOT_TRUSTED: Final = "ssl.fail_verify_error"
_UNCONNECTED: Final = ("upstream_cx_connect_fail", "upstream_cx_connect_timeout", "ssl.connection_error")
_STEP: Final = "tls"


def missing(facts: Facts) -> Verdict | None:
    def words(one: Identity) -> str:
        why = f" ({one.problem})" if one.problem else ""
        return f"{one.task} has no certificate{why}, and {facts.target} takes TLS alone" if one.shown is None else ""

    remedy = "its node agent asks the control plane for one until it has it; tsunagu identity shows why it has none"
    return None if reached(facts) else _whose(facts, words, ("identity-missing", remedy))


def expired(facts: Facts) -> Verdict | None:
    def words(one: Identity) -> str:
        if one.shown is None or one.shown.left > 0:
            return ""
        why = f", and there is no other ({one.problem})" if one.problem else ""
        return f"the certificate of {one.task} has expired {age(-one.shown.left)} ago{why}; new connections with it are refused"

    remedy = "it is renewed as soon as its node agent reaches the control plane; tsunagu identity shows all of them"
    return _whose(facts, words, ("identity-expired", remedy))


def other_server(facts: Facts) -> Verdict | None:
    """A server proves to be another than those that the caller's Envoy insists on."""
    peers = facts.held.peers if facts.held else ()

    def words(one: Identity) -> str:
        if one.task == facts.caller.task or one.shown is None or not peers or {*one.shown.ids} & {*peers}:
            return ""
        return f"{one.task} proves to be {', '.join(one.shown.ids)}, and the Envoy of {facts.caller.task} insists on {', '.join(peers)}"

    remedy = f"a resource is overridden: tsunagu proxies {facts.caller.task} --diff, tsunagu xds override --remove"
    return _whose(facts, words, ("server-identity", remedy))


def foreign(facts: Facts) -> Verdict | None:
    """A certificate that none of those who are trusted has signed for the task."""

    def words(one: Identity) -> str:
        if one.shown is None:
            return ""
        if one.shown.serial != one.given:
            return f"the Envoy of {one.task} shows a certificate that the control plane has not signed for it (serial {one.shown.serial})"
        return (
            "" if one.trusted else f"the certificate of {one.task} is of an authority that is not in force (any more)"
        )

    remedy = "a new task gets one of its own: tsunagu restart SERVICE"
    return None if reached(facts) else _whose(facts, words, ("identity-foreign", remedy), Sure.LIKELY)


def counted(facts: Facts) -> Verdict | None:
    """The caller's Envoy has refused the server in the call just now, and both certificates are in order."""
    held = facts.held
    if held is None or not held.peers or facts.answer is None or reached(facts):
        return None
    remedy = f"tsunagu proxies {facts.caller.task} --diff shows what it has been given otherwise"
    if held.counted.get(_OTHER_NAME):
        text = f"no task of {facts.target} proves to be {' or '.join(held.peers)}, on which the Envoy of {facts.caller.task} insists"
        return Verdict("server-identity", text, remedy, _STEP, Sure.LIKELY)
    if held.counted.get(_NOT_TRUSTED) and not (expired(facts) or foreign(facts)):
        text = f"the Envoy of {facts.caller.task} does not trust who has signed the certificates of {facts.target}, or they have expired"
        seen = {one.task for one in facts.serving} <= {one.task for one in facts.identities}
        return Verdict("server-untrusted", text, remedy, _STEP, Sure.YES if seen else Sure.LIKELY)
    return None


def tls_to_plaintext(facts: Facts) -> Verdict | None:
    """An endpoint is the plaintext ingress of a task that is called by TLS, and the call just now met no one who speaks it."""
    held = facts.held
    if held is None or not held.peers or facts.answer is None or reached(facts):
        return None
    plain = {f"{one.ip}:{one.plain_port}": one for one in facts.serving if one.tls}
    found = [one.address for one in held.hosts if one.address in plain]
    if not found or not any(held.counted.get(stat) for stat in _UNCONNECTED):
        return None
    one = plain[found[0]]
    text = f"the Envoy of {facts.caller.task} is led to {found[0]}, where {one.task} takes plaintext if anything, and it takes TLS at {one.address}"
    remedy = f"a resource is overridden: tsunagu proxies {facts.caller.task} --diff, tsunagu xds override --remove"
    return Verdict("tls-to-plaintext", text, remedy, _STEP, Sure.LIKELY)


def plaintext_to_tls(facts: Facts) -> Verdict | None:
    held = facts.held
    if held is None or held.peers or held.cluster != "active" or reached(facts):
        return None
    secured = {one.address for one in facts.serving if one.tls}
    found = [one.address for one in held.hosts if one.address in secured]
    if not found:
        return None
    text = f"the Envoy of {facts.caller.task} speaks plaintext with {found[0]}, which takes TLS alone"
    remedy = f"it has an older cluster, or one that is overridden: tsunagu proxies {facts.caller.task} --diff"
    return Verdict("plaintext-to-tls", text, remedy, _STEP, blocks=len(found) == len(held.hosts))


def _whose(
    facts: Facts, words: Callable[[Identity], str], what: tuple[str, str], sure: Sure = Sure.YES
) -> Verdict | None:
    """A verdict for the first of whom `words` says something, the caller before the servers that it is led to. `what`: kind, and
    remedy with SERVICE in it.
    """
    led = {one.task for one in facts.serving if one.tls}
    found = [
        (one, said)
        for one in facts.identities
        if (one.task in led or one.task == facts.caller.task) and (said := words(one))
    ]
    if not led or not found:
        return None
    kind, remedy = what
    first, said = found[0]
    mine = first.task == facts.caller.task
    every = len(led if mine else found) == len(facts.serving)
    service = facts.caller.service if mine or facts.alias is None else facts.alias.service
    share = "" if mine or every else f" ({len(found)} of {len(facts.serving)} tasks)"
    remedy = remedy.replace("SERVICE", service)
    return Verdict(kind, said + share, remedy, _STEP, sure, blocks=every)


RULES: Final[tuple[Callable[[Facts], Verdict | None], ...]] = (
    missing,
    expired,
    other_server,
    foreign,
    counted,
    tls_to_plaintext,
    plaintext_to_tls,
)
