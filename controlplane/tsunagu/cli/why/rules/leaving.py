"""A call that leaves the mesh: whether the namespace of the caller lets it, and what the relay of its node said to it last."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from tsunagu.cli.why.verdict import Sure, Verdict
from tsunagu.model.outside.egress import DENY, HOST_NAME, Egress

if TYPE_CHECKING:
    from tsunagu.cli.why.facts import Facts

HOST_ADDRESS: Final = "169.254.88.1"
#: Why the relay refused -> what that means, and what would be right.
_REASONS: Final = {
    "own-address": (
        "is an address of this machine, whose own addresses are refused",
        f"call {HOST_NAME}, which leads to 127.0.0.1 of this machine",
    ),
    "own-port": (
        "is a port of the mesh itself or of a container engine, which no task reaches",
        "call the port of another program",
    ),
    "no-address": ("is no address of a single machine", "call another"),
    "unreachable": ("did not take a connection from this machine", "see whether it listens, and is reached from here"),
    "too-many": ("was one connection too many (docs/egress.md has the limits)", "close connections that are not used"),
}


def refused_by_policy(facts: Facts) -> Verdict | None:
    if not leaves(facts):
        return None
    caller, name = facts.caller, facts.target.name
    policy = Egress.of(caller.egress)
    called = HOST_NAME if name == HOST_ADDRESS else name
    if policy.admits(called) and (policy.word or called == HOST_NAME or facts.target.address is None):
        return None
    of = f"egress of namespace {caller.namespace}"
    if policy.word == DENY:
        what = f"{of} is deny: {caller.task} is told no name outside of the mesh, and a connection there is refused"
        remedy = f"write `egress: [{called}]`, or allow, in the Namespace {caller.namespace}"
        if facts.target.address is not None and called != HOST_NAME:
            remedy = f"write `egress: allow` in the Namespace {caller.namespace}, or the name that has this address"
        return Verdict("egress-denied", what, remedy, "name")
    if facts.target.address is not None and called != HOST_NAME:
        what = f"{of} is {policy.words()}, and {name} is reached only by who was told it for one of these names, not long ago"
        return Verdict("egress-by-name", what, "call it by a name that is listed", "name", Sure.LIKELY)
    what = f"{of} is {policy.words()}, and {called} is none of these"
    return Verdict("egress-not-listed", what, f"add {called} to egress of the Namespace {caller.namespace}", "name")


def refused_outside(facts: Facts) -> Verdict | None:
    if not leaves(facts):
        return None
    target = facts.target
    ip = HOST_ADDRESS if target.name == HOST_NAME else target.name
    if (known := _REASONS.get(facts.refused_outside.get(f"{ip}:{target.port}", ""))) is None:
        return None
    what, remedy = known
    return Verdict("refused-outside", f"{target} {what}", remedy, "name")


def outside(facts: Facts) -> Verdict | None:
    if not leaves(facts):
        return None
    what = f"{facts.target.name} is nothing of the mesh: a call to it leaves, as egress of its namespace allows, and is not looked at here"
    remedy = "see what it says itself; kind: External gives it an alias, with retries and metrics"
    return Verdict("outside", what, remedy, "name", fault=False)


def leaves(facts: Facts) -> bool:
    """Whether the call is for something that is not the mesh's: an address of nobody in it, or a name of the internet."""
    target = facts.target
    if facts.alias is not None or facts.records is not None or facts.zone or facts.caller.status != "RUNNING":
        return False
    if target.address is not None:
        inside = any(target.address in IPv4Network(network) for network in facts.caller.networks)
        return not (inside or target.virtual or target.address.is_loopback or target.name in facts.addresses)
    ours = {name for one in (*facts.names, *facts.elsewhere) for name in (one.name, one.service, one.discovery_name)}
    bare, *above = target.name.split(".")
    # NAME.NAMESPACE, and more behind it.
    meant = bare in ours and (len(above) < 2 or above[0] == facts.caller.namespace)
    return target.name == HOST_NAME or (bool(above) and target.name not in ours and not meant)


RULES: Final = (refused_by_policy, refused_outside, outside)
