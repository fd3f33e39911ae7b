"""The words of access: a *principal* is whom a rule admits, a *rule* allows some requests of some principals, an *admission* is
all that policies say of one port.

The one rule: what a port takes is decided by `Admission.verdict` here and by Envoy there, from the same value; tests ask both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Paths that an app may read as another path than a prefix seems to say: empty, `.` and `..` segments (with parameters too),
#: encoded dots and slashes, backslashes. No prefix admits them. RE2's syntax as well as Python's; of the whole path.
AMBIGUOUS: Final = r".*(//|/\.\.?([/;]|$)|%2[eEfF]|%5[cC]|\\).*"
_AMBIGUOUS: Final = re.compile(AMBIGUOUS, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a rule admits. `path`: of a SPIFFE ID, below its trust domain, as `/ns/shop/gateway/front`; with a slash at its end it
    is everybody below. Empty: every member of the mesh.
    """

    path: str = ""

    @property
    def anyone(self) -> bool:
        return not self.path

    @property
    def below(self) -> bool:
        """Whether it is everybody below a path."""
        return self.path.endswith("/")

    def admits(self, identity: str) -> bool:
        """Whether it is the caller with this path of its SPIFFE ID."""
        if self.anyone:
            return True
        return identity.startswith(self.path) if self.below else identity == self.path


@dataclass(frozen=True, slots=True)
class Requests:
    """Some requests. `method` empty: every method. `path_kind`: exact, or below (the path and what is below it); empty: every path."""

    method: str = ""
    path_kind: str = ""
    path: str = ""

    def include(self, call: Call) -> bool:
        if self.method and self.method != call.method:
            return False
        path = call.path.partition("#")[0].partition("?")[0]
        if self.path_kind == "below":
            under = path.startswith(self.path if self.path.endswith("/") else self.path + "/")
            return (under or path == self.path) and not _AMBIGUOUS.fullmatch(path)
        return not self.path_kind or path == self.path


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a port. `identity`: the path of its caller's SPIFFE ID. A tcp call has no method and no path."""

    identity: str
    method: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One entry of a policy's `allow`. `name` is that of the policy with the entry's index: `shop/orders[0]`. No requests: all."""

    name: str
    principals: tuple[Principal, ...]
    requests: tuple[Requests, ...] = ()

    def allows(self, call: Call) -> bool:
        return any(one.admits(call.identity) for one in self.principals) and (
            not self.requests or any(one.include(call) for one in self.requests)
        )


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One AccessPolicy. `service`: CLUSTER/SERVICE. `ports`: port names; none: all of them."""

    name: str
    namespace: str
    service: str
    ports: tuple[str, ...]
    audit: bool
    rules: tuple[AccessRule, ...]

    def selects(self, port_name: str) -> bool:
        return not self.ports or port_name in self.ports


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call. `rule`: the one that allows it; empty: none does. `audited`: it is let through, and would be refused
    if the policies that audit were enforced.
    """

    allowed: bool
    rule: str = ""
    audited: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """What a port takes. `enforced`, `audited`: names of the policies that select it, sorted. Without an enforced one everything is
    taken. `rules` are those of enforced policies, `shadow` those of all of them.
    """

    enforced: tuple[str, ...] = ()
    audited: tuple[str, ...] = ()
    rules: tuple[AccessRule, ...] = ()
    shadow: tuple[AccessRule, ...] = ()

    @property
    def open(self) -> bool:
        """Whether everything is taken."""
        return not self.enforced

    def verdict(self, call: Call) -> Verdict:
        rule = next((one.name for one in self.rules if one.allows(call)), "")
        would = not self.audited or any(one.allows(call) for one in self.shadow)
        allowed = self.open or bool(rule)
        return Verdict(allowed, rule, audited=allowed and not would)


OPEN: Final = Admission()


def admission(policies: tuple[PolicyRow, ...], port_name: str) -> Admission:
    """Return what the port of that name takes, by the policies of its service; OPEN if none selects it."""
    found = sorted((one for one in policies if one.selects(port_name)), key=lambda one: one.name)
    if not found:
        return OPEN
    audited = tuple(one.name for one in found if one.audit)
    return Admission(
        enforced=tuple(one.name for one in found if not one.audit),
        audited=audited,
        rules=tuple(rule for one in found if not one.audit for rule in one.rules),
        shadow=tuple(rule for one in found for rule in one.rules) if audited else (),
    )
