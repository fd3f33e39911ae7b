"""When a task asks for a certificate: a function of the one that it has, of whom proxies trust, and of the time.

Rule: a certificate is renewed when two thirds of its life have passed, and as soon as another authority signs; each task at a
moment of its own, so that a thousand do not ask at once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from tsunagu.kit.backoff import Backoff
from tsunagu.model.identities import TRUST_DOMAIN
from tsunagu.v1 import identities_pb2

DEFAULT: Final = "default"
"""The authority whose trust bundle says which namespaces have identities."""
RETRY: Final = Backoff(base=0.5, cap=30.0, spread=0.5)
_PART: Final = 2 / 3
_SPREAD: Final = 0.1  # of its life
_SPREAD_SECONDS: Final = 2.0  # over which certificates of a new authority are asked for


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the trust bundles say: authority -> fingerprint of what signs in its name, and since when (seconds since the epoch);
    the namespaces with identities; the certificates, in PEM, of all that is trusted; and the trust domain of IDs.
    """

    signs: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    namespaces: Collection[str] = frozenset()
    certificates: str = ""
    trust_domain: str = TRUST_DOMAIN


def trusted(bundles: Mapping[str, identities_pb2.TrustBundle]) -> Trusted:
    """Return what the bundles say, by the names of their authorities."""
    default = bundles.get(DEFAULT)
    roots = (one.certificate for _, bundle in sorted(bundles.items()) for one in bundle.authorities)
    return Trusted(
        {name: (bundle.signs, bundle.since.ToNanoseconds() / 1e9) for name, bundle in bundles.items()},
        frozenset(default.namespaces) if default is not None else frozenset(),
        "".join(dict.fromkeys(roots)),
        default.trust_domain if default is not None else TRUST_DOMAIN,
    )


def due_at(held: identities_pb2.Identity | None, by: Trusted, now: float, jitter: float) -> float:
    """Return the moment at which another certificate is to be asked for, seconds since the epoch; not after `now`: at once.

    `held`: what the task has; `jitter`: the task's own random number, in [0, 1).
    """
    if held is None or held.not_after.ToSeconds() <= now:
        return now
    issued, life = _span(held)
    renewal = issued + life * (_PART - _SPREAD * jitter)
    wanted, since = by.signs.get(held.authority, (held.issuer, 0.0))
    return renewal if wanted == held.issuer else min(renewal, since + jitter * min(_SPREAD_SECONDS, life * _SPREAD))


def is_good(held: identities_pb2.Identity | None, now: float) -> bool:
    """Whether others accept the certificate now."""
    return held is not None and held.not_before.ToSeconds() <= now < held.not_after.ToSeconds()


def _span(held: identities_pb2.Identity) -> tuple[float, float]:
    """When a certificate was made, and how long it is good from then on, in seconds."""
    begin = held.issued_at.ToNanoseconds() / 1e9 if held.HasField("issued_at") else held.not_before.ToSeconds()
    return begin, held.not_after.ToSeconds() - begin
