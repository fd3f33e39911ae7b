"""From facts to a verdict: the first rule that says something, and then whether it may be said for sure.

The one rule: never wrong and sure at once. A cause that ends every call is doubted when a call just now came through; a
verdict that everything works is doubted when something could not be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tsunagu.cli.why.rules import admitting, answering, naming, offering, outside, proving, proxying, serving
from tsunagu.cli.why.rules.answering import came_through, reached
from tsunagu.cli.why.verdict import Sure, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.cli.why.facts import Facts

#: In the order of the way: a fault hides all that come after it.
RULES: Final[tuple[Callable[[Facts], Verdict | None], ...]] = (
    *naming.RULES,
    *proxying.RULES[:2],
    *offering.RULES,
    *proxying.RULES[2:],
    *admitting.RULES,
    *proving.RULES,
    *serving.RULES,
    *proxying.LAST,
    *outside.RULES,
    *answering.RULES,
)
#: Kinds that follow from the registry alone: what could not be looked at elsewhere is no doubt.
_FROM_REGISTRY: Final = frozenset(
    {
        *(
            "no-service-connect",
            "caller-stopped",
            "caller-not-running",
            "itself",
            "address-not-name",
            "other-namespace",
        ),
        *("service-without-connect", "client-only", "other-name", "unknown-name", "unknown-address", "unknown-port"),
        *("dns-name", "dns-empty", "not-a-backend", "grpc-to-http"),
        *("egress-denied", "egress-not-listed", "outside", "not-a-member"),
        *("access-refused", "frozen", "https", "tcp-to-http", "desired-none", "failing-tasks", "unhealthy"),
    }
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, and what else was found on the way behind it."""

    verdict: Verdict
    others: tuple[Verdict, ...] = ()


def judge(facts: Facts) -> Judgement:
    """What is wrong, or that nothing is."""
    found = [verdict for rule in RULES if (verdict := rule(facts)) is not None]
    faults = [one for one in found if one.fault] or found[:1]
    # What only some calls meet gives way to what surely ends every call, if the call just now did not come through.
    ends_all = (one for one in faults if one.blocks and one.sure is Sure.YES)
    first = faults[0] if reached(facts) else next(ends_all, faults[0])
    others = tuple(one for one in faults if one.kind != first.kind and one.sure is Sure.YES and one.at != "")
    return Judgement(_doubted(first, facts), others)


def _doubted(verdict: Verdict, facts: Facts) -> Verdict:
    """The verdict, less sure where something speaks against it or was not seen."""
    if verdict.blocks and verdict.tried and came_through(facts) and facts.answer is not None:
        doubt = f"but a call just now came through: {facts.answer.words}"
        return replace(verdict, sure=Sure.NO, doubts=(*verdict.doubts, doubt))
    if facts.missing and verdict.kind not in _FROM_REGISTRY and not _is_the_cause(verdict):
        unseen = tuple(f"not seen: {what}, {why}" for what, why in facts.missing.items())
        sure = Sure.LIKELY if verdict.sure is Sure.YES else verdict.sure
        return replace(verdict, sure=sure, doubts=(*verdict.doubts, *unseen))
    return verdict


def _is_the_cause(verdict: Verdict) -> bool:
    """Whether the verdict is that something did not answer, which is why it was not seen."""
    return verdict.kind in {"envoy-down", "envoy-silent", "server-envoy-down", "agent-down"}
