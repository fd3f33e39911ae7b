"""The parts of the certificate authority that a control plane runs, loaded when a namespace first needs identities.

The one rule: files that the user gave are read, and refused, when the control plane starts; everything else waits for the need.
"""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsunagu.ca import need

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
        if settings.given:
            self._load()

    def issue(self, request: identities_pb2.IssueRequest, state: need.State) -> identities_pb2.IssueResponse:
        """Return a certificate; see `issuing.Issuer.issue`. Not for two threads at once. Raises Refused."""
        if self._issuer is None:
            module = importlib.import_module("tsunagu.ca.issuing")
            self._issuer = module.Issuer(self._load(), self._key, self._settings.life)
        answer: identities_pb2.IssueResponse = self._issuer.issue(request, state, self._clock.now())
        return answer

    async def run(self, registry: Objects, informer: Informer, lacking: Lacking) -> None:
        """Keep the trust bundles from the moment on that they are needed, until cancelled."""
        await need.arises(informer)
        files = await asyncio.to_thread(self._load)
        keeper = importlib.import_module("tsunagu.ca.keeper")
        sources = keeper.Sources(files, self._settings.trust_domain)
        await keeper.Keeper(registry, informer, sources, lacking, self._clock).run()

    def _load(self) -> AuthorityFiles:
        if self._files is None:
            files = importlib.import_module("tsunagu.ca.files")
            given = importlib.import_module("tsunagu.ca.given")
            now = self._clock.now()
            read = {name: given.read(*pair, now) for name, pair in self._settings.given.items()}
            self._files = files.AuthorityFiles(self._settings.folder, read)
        loaded: AuthorityFiles = self._files
        return loaded
