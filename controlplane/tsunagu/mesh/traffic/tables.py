"""Settles the rules of a front against the mesh as it is: which destinations there are, and what their policies and ports say.

The one rule: what a rule does not say is said by the policy of its first destination, then by the server's port, then by
Service Connect. A destination that nobody provides is left out, so that the others get its share, and no caller an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.mesh.traffic import model as traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Of a destination as a rule names it; None: nobody provides it
    Lookup = Callable[[traffic.Destination], "Known | None"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a destination that there is. `to`: with the whole name of its revision, if it has one."""

    to: traffic.Destination
    protocol: str
    limits: traffic.Limits  # of the server's port; both are set
    policy: traffic.RequestPolicy
    named: bool = False  # it is outside of the mesh, and has DNS names of its own


def settle(rule: traffic.Rule, lookup: Lookup) -> traffic.Rule:
    """Return the rule with nothing left open: of a rule that forwards, `limits` and `retry` are set."""
    if not isinstance(rule.action, traffic.Forward):
        return rule
    found = [(one, known) for one in rule.action.targets if one.weight and (known := _requests(lookup(one.to)))]
    shared = len(found) > 1  # the weight of one alone says nothing
    targets = tuple(traffic.Weighted(known.to, one.weight if shared else 1) for one, known in found)
    action = replace(
        rule.action,
        targets=targets,
        mirror=_mirror(rule.action.mirror, lookup),
        by_own_name=any(known.named for _, known in found) and not rule.action.rewrite.host,
    )
    if not found:
        return replace(rule, action=action, limits=traffic.Limits(0, 0), retry=traffic.Retry(0))
    first = found[0][1]
    default = traffic.CONNECT_RETRY_GRPC if first.protocol == "grpc" else traffic.CONNECT_RETRY
    return replace(
        rule,
        action=action,
        limits=rule.limits.over(first.policy.limits).over(first.limits),
        retry=rule.retry or first.policy.retry or default,
        fault=rule.fault or first.policy.fault,
        hash_keys=first.policy.hash_keys,
    )


def _mirror(mirror: traffic.Mirror | None, lookup: Lookup) -> traffic.Mirror | None:
    known = _requests(lookup(mirror.to)) if mirror is not None else None
    return replace(mirror, to=known.to) if mirror is not None and known is not None else None


def _requests(known: Known | None) -> Known | None:
    """What speaks tcp takes no requests."""
    return None if known is None or known.protocol == "tcp" else known
