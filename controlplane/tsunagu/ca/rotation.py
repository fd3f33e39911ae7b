"""What becomes of a trust bundle: made when it is needed, and rotated old -> both -> new, so that no call fails.

    STEADY -> TRUSTING    the new authority is trusted beside the old one, which still signs
           -> REISSUING   every proxy has accepted that: the new one signs, and node agents ask for certificates by it
           -> RETIRING    no task has one of the old any more
           -> STEADY      after a pause the old one is trusted no more

The one rule: a step is a function of the bundle as it is and of what is so now, so whoever goes on after a control plane was
killed does what it would have done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tsunagu.v1 import identities_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STEADY: Final = "STEADY"
TRUSTING: Final = "TRUSTING"
REISSUING: Final = "REISSUING"
RETIRING: Final = "RETIRING"
PAUSE: Final = 5.0
"""Seconds between the last certificate of the old authority and its end: for Envoys that read the new one just now."""
NODE: Final = "node "
"""Tells the nodes among the holders from tasks."""
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so now.

    `wanted`: the authority that is to sign, `embedded` whether it was made here. `lacking`: the proxies that have not
    accepted the registry's newest revision, with the reason; None: not asked. `holders`: fingerprint -> the tasks, and the
    nodes as `node NAME`, whose certificate is of it; "": those that are to have one and have none. `namespaces`: sorted, those
    whose tasks have identities.
    """

    now: float
    trust_domain: str
    wanted: identities_pb2.Authority
    source: str
    namespaces: Sequence[str] = ()
    lacking: Sequence[str] | None = None
    holders: Mapping[str, Sequence[str]] = field(default_factory=dict)


def begin(facts: Facts) -> identities_pb2.TrustBundle:
    """Return a bundle of one authority."""
    bundle = identities_pb2.TrustBundle(
        trust_domain=facts.trust_domain,
        authorities=[facts.wanted],
        signs=facts.wanted.fingerprint,
        source=facts.source,
        namespaces=facts.namespaces,
    )
    _enter(bundle, STEADY, facts)
    return bundle


def advance(before: identities_pb2.TrustBundle, facts: Facts) -> identities_pb2.TrustBundle:
    """Return the bundle after one step; equal to `before` while there is nothing to do but to wait."""
    bundle = identities_pb2.TrustBundle()
    bundle.CopyFrom(before)
    bundle.source = facts.source
    del bundle.namespaces[:]
    bundle.namespaces.extend(facts.namespaces)
    if facts.wanted.fingerprint != newest(bundle):
        _aim(bundle, facts)
    else:
        _STEPS.get(bundle.phase, _steady)(bundle, facts)
    return bundle


def fingerprints(bundle: identities_pb2.TrustBundle) -> Sequence[str]:
    """Return the authorities in force, the oldest first."""
    return tuple(one.fingerprint for one in bundle.authorities)


def newest(bundle: identities_pb2.TrustBundle) -> str:
    """Return the fingerprint of the authority that came last."""
    return bundle.authorities[-1].fingerprint


def _aim(bundle: identities_pb2.TrustBundle, facts: Facts) -> None:
    """Begin to rotate to another authority, in whatever phase the bundle is. The one that signs goes on until proxies trust it."""
    others = [one for one in bundle.authorities if one.fingerprint != facts.wanted.fingerprint]
    del bundle.authorities[:]
    bundle.authorities.extend([*others, facts.wanted])
    bundle.rotations_begun = bundle.rotations_wanted
    _enter(bundle, TRUSTING, facts, "the proxies to accept the new authority beside the old one")


def _steady(bundle: identities_pb2.TrustBundle, _facts: Facts) -> None:
    bundle.waits_for = ""


def _trusting(bundle: identities_pb2.TrustBundle, facts: Facts) -> None:
    if facts.lacking is None:
        return
    if facts.lacking:
        bundle.waits_for = f"{_those(facts.lacking, 'proxy', 'proxies')} to accept the new authority"
        return
    bundle.signs = newest(bundle)
    _enter(bundle, REISSUING, facts, "the tasks to have certificates of the new authority")


def _reissuing(bundle: identities_pb2.TrustBundle, facts: Facts) -> None:
    late = _late(bundle, facts)
    if late:
        bundle.waits_for = f"{_holders(late)} to have a certificate of the new authority"
        return
    _enter(bundle, RETIRING, facts, f"{PAUSE:g} s to pass before the old authority is trusted no more")


def _retiring(bundle: identities_pb2.TrustBundle, facts: Facts) -> None:
    if _late(bundle, facts):
        _enter(bundle, REISSUING, facts)
        _reissuing(bundle, facts)
    elif facts.now - _since(bundle) >= PAUSE:
        kept = [one for one in bundle.authorities if one.fingerprint == bundle.signs]
        del bundle.authorities[:]
        bundle.authorities.extend(kept)
        _enter(bundle, STEADY, facts)


def _late(bundle: identities_pb2.TrustBundle, facts: Facts) -> Sequence[str]:
    """The tasks and nodes that have no certificate of the authority that signs."""
    return sorted(name for issuer, names in facts.holders.items() if issuer != bundle.signs for name in names)


def _enter(bundle: identities_pb2.TrustBundle, phase: str, facts: Facts, waits_for: str = "") -> None:
    bundle.phase, bundle.waits_for = phase, waits_for
    bundle.since.FromNanoseconds(int(facts.now * 1e9))


def _since(bundle: identities_pb2.TrustBundle) -> float:
    return bundle.since.ToNanoseconds() / 1e9


def _holders(late: Sequence[str]) -> str:
    nodes = [name.removeprefix(NODE) for name in late if name.startswith(NODE)]
    tasks = [name for name in late if not name.startswith(NODE)]
    said = (_those(tasks, "task", "tasks") if tasks else "", _those(nodes, "node", "nodes") if nodes else "")
    return " and ".join(filter(None, said))


def _those(names: Sequence[str], one: str, many: str) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} {one if len(names) == 1 else many} ({', '.join(names[:_NAMED])}{more})"


_STEPS: Final[Mapping[str, Callable[[identities_pb2.TrustBundle, Facts], None]]] = {
    STEADY: _steady,
    TRUSTING: _trusting,
    REISSUING: _reissuing,
    RETIRING: _retiring,
}
