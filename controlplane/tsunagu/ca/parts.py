"""The parts of the certificate authority that a control plane runs, loaded when a namespace first needs identities.

The one rule: files that the user gave are read, and refused, when the control plane starts; everything else waits for the need.
"""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsunagu.ca import need
from tsunagu.ca.refusals import BadAuthority

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tsunagu.ca.files import AuthorityFiles
    from tsunagu.ca.keeper import Lacking
    from tsunagu.kit.clock import Clock
    from tsunagu.registry.informer import Informer
    from tsunagu.registry.objects import Objects
    from tsunagu.v1 import identities_pb2


@dataclass(frozen=True, slots=True)
class CaSettings:
    """`folder`: where keys that are made are kept. `given`: NAME -> (certificate's file, key's file) of the user's own.
    `trust_domain`: empty: the authority's, or the usual one. `life`: of a task's certificate, seconds.
    """

    folder: Path
    given: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)
    trust_domain: str = ""
    life: float = 3600.0


class CertificateAuthority:
    """The authorities of one control plane. `key`: with it the tokens of node agents are made. Raises BadAuthority."""

    def __init__(self, settings: CaSettings, key: bytes, clock: Clock) -> None:
        self._settings = settings
        self._key = key
        self._clock = clock
        self._files: AuthorityFiles | None = None
        self._issuer: Any = None  # ca.issuing.Issuer
        self._domain = settings.trust_domain  # once the files are loaded, that of the user's authorities as well
        if settings.given:
            self._load()

    def issue(self, request: identities_pb2.IssueRequest, state: need.State) -> identities_pb2.IssueResponse:
        """Return a certificate; see `issuing.Issuer.issue`. Not for two threads at once. Raises Refused."""
        if self._issuer is None:
            module = importlib.import_module("tsunagu.ca.issuing")
            self._issuer = module.Issuer(self._load(), self._key, self._settings.life)
        answer: identities_pb2.IssueResponse = self._issuer.issue(request, state, self._clock.now())
        return answer

    async def check(self, registry: Objects) -> None:
        """Raise BadAuthority if another trust domain is asked for than that of the mesh, whose first certificates have it."""
        asked = self._settings.trust_domain
        found = await registry.get("TrustBundle", need.DEFAULT) if asked else None
        has = found.trust_bundle.trust_domain if found is not None else asked
        if has != asked:
            what = f"the trust domain of this mesh is {has}, and --trust-domain (TSUNAGU_TRUST_DOMAIN) says {asked}"
            why = "it stays as it was when the first certificate was made, since tasks know each other by it"
            raise BadAuthority(f"{what}; {why}: leave it out, or begin a new mesh ('tsunagu down', then 'up')")

    async def run(self, registry: Objects, informer: Informer, lacking: Lacking) -> None:
        """Keep the trust bundles from the moment on that they are needed, until cancelled."""
        await need.arises(informer)
        files = await asyncio.to_thread(self._load)
        keeper = importlib.import_module("tsunagu.ca.keeper")
        sources = keeper.Sources(files, self._domain)
        await keeper.Keeper(registry, informer, sources, lacking, self._clock).run()

    def _load(self) -> AuthorityFiles:
        if self._files is None:
            files = importlib.import_module("tsunagu.ca.files")
            given = importlib.import_module("tsunagu.ca.given")
            now = self._clock.now()
            read = {name: given.read(*pair, now) for name, pair in self._settings.given.items()}
            self._domain = given.agreed(self._settings.trust_domain, [read[name] for name in sorted(read)])
            self._files = files.AuthorityFiles(self._settings.folder, read)
        loaded: AuthorityFiles = self._files
        return loaded
