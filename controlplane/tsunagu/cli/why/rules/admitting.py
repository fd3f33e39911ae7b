"""What AccessPolicies say of the call: the server's proxy takes it, or refuses it before its app hears of it.

The one rule: what a policy means is said by `mesh.access`, the same as proxies are given; the call just now only says whether they
have it already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.cli.why.verdict import Sure, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.cli.why.facts import Facts

#: What Envoy's filter writes into the body of a refusal, or into gRPC's message.
REFUSAL: Final = "RBAC: access denied"


def not_allowed(facts: Facts) -> Verdict | None:
    access = facts.access
    if access is None or access.allowed:
        return None
    policies = ", ".join(access.policies)
    text = (
        f"{access.service} does not take {access.request or 'connections'} from {facts.caller.service}:"
        f" AccessPolicy {policies} selects its port {access.port}, and no rule allows it"
    )
    return Verdict("access-refused", text, f"add to its allow: {access.remedy}", "access")


def refused_all_the_same(facts: Facts) -> Verdict | None:
    """A refusal that the registry does not mean, or not any more."""
    answer = facts.answer
    if answer is None or not answer.said.startswith(REFUSAL):
        return None
    text = f"the Envoy of a task of {facts.target} refuses the call by an AccessPolicy, which the registry does not mean (any more)"
    return Verdict(
        "access-behind",
        text,
        "tsunagu wait waits until it has the newest; tsunagu access says who may call",
        "access",
        Sure.LIKELY,
    )


RULES: Final[tuple[Callable[[Facts], Verdict | None], ...]] = (not_allowed, refused_all_the_same)
