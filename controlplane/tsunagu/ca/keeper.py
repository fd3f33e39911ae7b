"""Keeps the trust bundles: makes one when a namespace needs identities, and takes a rotation on from phase to phase.

The one rule: it reads the whole state and does one step (`rotation`), whatever has happened; so it may be killed between any
two. A key's file is there before the bundle that tells of it, and goes after it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.ca import need, rotation
from tsunagu.ca.given import trust_domain as domain_of
from tsunagu.ca.need import DEFAULT, WATCHED, authority_of
from tsunagu.ca.rotation import Facts
from tsunagu.kit import log
from tsunagu.model import identities, ids
from tsunagu.model.statuses import Status
from tsunagu.registry.objects import PutObject
from tsunagu.registry.store import Conflict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tsunagu.ca.authority import SigningAuthority
    from tsunagu.ca.files import AuthorityFiles
    from tsunagu.ca.need import State
    from tsunagu.kit.clock import Clock
    from tsunagu.registry.informer import Informer
    from tsunagu.registry.objects import Objects
    from tsunagu.v1 import identities_pb2, objects_pb2

    #: The proxies that have not accepted the registry's newest revision, with the reason.
    Lacking = Callable[[], Awaitable[Sequence[str]]]

_PROXIED: Final = frozenset({Status.PENDING, Status.ACTIVATING, Status.RUNNING, Status.DEACTIVATING, Status.STOPPING})
_LOOK: Final = 0.5  # seconds between looks while something is under way
_IDLE: Final = 60.0  # and otherwise: an authority grows old though nothing changes
_log = log.get("ca")


@dataclass(frozen=True, slots=True)
class Sources:
    """`files`: the keys that are here. `trust_domain`: what the user gave, or the user's authorities name; empty: that of an
    authority that was made here before, or the usual one.
    """

    files: AuthorityFiles
    trust_domain: str = ""


class Keeper:
    """The trust bundles of one registry. `informer` follows `registry` and is run by the caller."""

    def __init__(self, registry: Objects, informer: Informer, sources: Sources, lacking: Lacking, clock: Clock) -> None:
        self._registry = registry
        self._informer = informer
        self._sources = sources
        self._lacking = lacking
        self._clock = clock
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="certificate authority follows")
            group.create_task(self._keep(), name="certificate authority")

    async def _follow(self) -> None:
        async for item in self._informer.follow():
            if any(change.kind in WATCHED for change in item.changes):
                self._changed.set()

    async def _keep(self) -> None:
        """The top of a named task: an error is logged, once while it stays the same, and everything is tried again."""
        trouble = ""
        while True:
            self._changed.clear()
            try:
                busy = await self.step()
            except Conflict:
                busy = True
            except Exception as error:  # noqa: BLE001 - proxies go on with what they have
                if repr(error) != trouble:
                    _log.exception("trust bundles could not be kept")
                trouble, busy = repr(error), True
            else:
                trouble = ""
            await self._pause(busy)

    async def _pause(self, busy: bool) -> None:
        if busy:
            await self._clock.sleep(_LOOK)
            return
        try:
            async with asyncio.timeout(_IDLE):
                await self._changed.wait()
        except TimeoutError:
            return

    async def step(self) -> bool:
        """Do what is to be done now; return whether more will be soon. Raises Conflict, OSError, BadAuthority."""
        state = self._informer.state
        namespaces = need.namespaces(state)
        bundles = state.get("TrustBundle", {})
        if not namespaces and not bundles:
            return False
        busy = False
        others = sorted({*self._sources.files.names, *bundles} - {DEFAULT})
        for name in (DEFAULT, *others):  # the first says of which trust domain all are
            busy |= await self._one(name, bundles.get(name), namespaces if name == DEFAULT else ())
        return busy

    async def _one(self, name: str, obj: objects_pb2.Object | None, namespaces: Sequence[str]) -> bool:
        now = self._clock.now()
        if obj is None:
            signer = self._wanted(name, None, now)
            facts = Facts(now, self._trust_domain(signer), signer.told(), signer.source, namespaces)
            await self._put(name, rotation.begin(facts), 0)
            return False
        bundle = obj.trust_bundle
        signer = self._wanted(name, bundle, now)
        facts = Facts(
            now,
            bundle.trust_domain,
            signer.told(),
            signer.source,
            namespaces,
            await self._lacking() if bundle.phase == rotation.TRUSTING else None,
            holders(name, self._informer.state) if bundle.phase != rotation.STEADY else {},
        )
        after = rotation.advance(bundle, facts)
        if after != bundle:
            await self._put(name, after, obj.meta.revision)
            if after.phase != bundle.phase:
                _log.info("certificate authority", name=name, phase=after.phase, signs=after.signs[:16])
        elif bundle.phase == rotation.STEADY:
            self._sources.files.keep(name, rotation.fingerprints(bundle))
        return after.phase != rotation.STEADY

    async def _put(self, name: str, bundle: identities_pb2.TrustBundle, expected: int) -> None:
        revision = await self._registry.batch([PutObject(ids.make("TrustBundle", name, bundle), expected=expected)])
        await self._informer.wait_revision(revision)

    def _wanted(self, name: str, bundle: identities_pb2.TrustBundle | None, now: float) -> SigningAuthority:
        """The authority that is to sign: the user's, or the one made here that came last; a new one if that is called for."""
        given = self._sources.files.given(name)
        if given is not None:
            return given
        made = self._sources.files.made(name, now)
        if bundle is None:
            wanted = self._sources.trust_domain
            fitting = [one for one in made if wanted in ("", domain_of(one))]
            return fitting[-1] if fitting else self._make(name, wanted or identities.TRUST_DOMAIN, now)
        current = next((one for one in made if one.fingerprint == rotation.newest(bundle)), None)
        if current is not None and not _asks_for_another(bundle, current, now):
            return current
        unused = [one for one in made if one.fingerprint not in rotation.fingerprints(bundle)]
        return unused[-1] if unused else self._make(name, bundle.trust_domain, now)

    def _make(self, name: str, domain: str, now: float) -> SigningAuthority:
        made = self._sources.files.make(name, domain, now)
        _log.info("new certificate authority", name=name, fingerprint=made.fingerprint[:16])
        return made

    def _trust_domain(self, signer: SigningAuthority) -> str:
        default = self._informer.get("TrustBundle", DEFAULT)
        has = default.trust_bundle.trust_domain if default is not None else self._sources.trust_domain
        return has or domain_of(signer) or identities.TRUST_DOMAIN


def holders(name: str, state: State) -> Mapping[str, Sequence[str]]:
    """Return who has a certificate of which authority of that name, as `Facts.holders`."""
    default = state.get("TrustBundle", {}).get(DEFAULT)
    namespaces = frozenset(default.trust_bundle.namespaces) if default is not None else frozenset()
    found: dict[str, list[str]] = defaultdict(list)
    for task, obj in state.get("Task", {}).items():
        status = obj.task.status
        if status.last_status not in _PROXIED:
            continue
        if status.identity.id:
            if status.identity.authority == name:
                found[status.identity.issuer].append(task)
        elif obj.task.spec.namespace in namespaces and authority_of(obj.task.spec, state) == name:
            found[""].append(task)
    for node, obj in state.get("Node", {}).items():
        held = (one.identity for one in obj.node.identities if one.namespace in namespaces)
        for issuer in {one.issuer for one in held if (one.authority or DEFAULT) == name}:
            found[issuer].append(rotation.NODE + node)
    return {issuer: sorted(named) for issuer, named in found.items()}


def _asks_for_another(bundle: identities_pb2.TrustBundle, current: SigningAuthority, now: float) -> bool:
    """Whether a rotation is to begin: somebody asked for one, or the authority grows old."""
    asked = bundle.rotations_wanted > bundle.rotations_begun or current.is_due(now)
    return bundle.phase == rotation.STEADY and asked
