"""Keeps one certificate good, with its key, in one place: from the request for the first to the last renewal.

Rule: what is in the place is replaced whole, by a pair that was checked. While the control plane is away its holder goes on with
what it has; what it has outlives the node agent.
"""

import asyncio
import importlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tsunagu.kit.log import get
from tsunagu.v1 import identities_pb2
from tsunagu_node.control import Refused
from tsunagu_node.identity.schedule import RETRY, due_at, is_good
from tsunagu_node.identity.trust import Trust

log: Final = get("node.identity")
Issue = Callable[[identities_pb2.IssueRequest], Awaitable[identities_pb2.IssueResponse]]


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose certificate it is. `named`: for the log. `request`: what is asked for, but for its key."""

    named: dict[str, str]
    namespace: str
    request: identities_pb2.IssueRequest


class Place(Protocol):
    """Where a certificate is kept with its key. `keys` is `tsunagu_node.identity.keys`, which is loaded when a key is needed."""

    def left(self) -> identities_pb2.Identity | None:
        """Return the certificate that an earlier node agent said that it left, or None."""

    def holds(self, keys: Any, identity: identities_pb2.Identity) -> bool:
        """Return whether that certificate is there, with the key that fits it. Raises OSError."""

    def write(self, made: Any, answer: identities_pb2.IssueResponse) -> None:
        """Keep a new pair instead. Raises OSError, keys.Unusable."""


class Renewal:
    """The certificate of `holder`. `issue` asks the control plane once; `changed` is called when `held` or `trouble` has changed.

    `held`: the certificate that is in the place. `trouble`: why there is no good one although there is to be one; empty while there is.
    """

    def __init__(self, holder: Holder, trust: Trust, issue: Issue, changed: Callable[[], None]) -> None:
        self._holder = holder
        self._trust = trust
        self._issue = issue
        self._changed = changed
        self._jitter = random.random()  # noqa: S311 - spreads requests, and is no secret
        self._keys: Any = None
        self.held: identities_pb2.Identity | None = None
        self.trouble = ""

    @property
    def ready(self) -> bool:
        """Whether there is a certificate that others accept now."""
        return is_good(self.held, time.time())

    async def run(self, place: Place) -> None:
        """Keep the certificate good until cancelled."""
        await self._adopt(place)
        await self._trust.newer(0)  # while nothing is known, a certificate that is there is not taken for one too many
        failures = 0
        while True:
            version = self._trust.version
            if self._holder.namespace not in self._trust.now.namespaces:
                self._hold(None)
                await self._trust.newer(version)
                continue
            now = time.time()
            due = due_at(self.held, self._trust.now, now, self._jitter) if not failures else now
            if due <= now:
                failures = 0 if await self._renew(place) else failures + 1
                due = now + RETRY.delay(failures, self._jitter)
            await self._wait(version, due - now)

    async def _adopt(self, place: Place) -> None:
        """Go on with the certificate that an earlier node agent left, if what is there is as it was."""
        if (left := place.left()) is None:
            return
        await self._load()
        try:
            there = place.holds(self._keys, left)
        except OSError as error:
            log.warning("identity is not there any more", **self._holder.named, reason=str(error))
            return
        if there:
            self._hold(left)

    async def _renew(self, place: Place) -> bool:
        """Ask for a certificate of a new key and put both in place; return whether it worked."""
        await self._load()
        made = self._keys.make()
        request = identities_pb2.IssueRequest(certificate_request=made.request())
        request.MergeFrom(self._holder.request)
        try:
            answer = await self._issue(request)
            answer.identity.issued_at.GetCurrentTime()
            place.write(made, answer)
        except (Refused, OSError, self._keys.Unusable) as error:
            self._complain(str(error))
            return False
        log.info("identity", **self._holder.named, id=answer.identity.id, serial=answer.identity.serial)
        self._hold(answer.identity)
        return True

    async def _load(self) -> None:
        if self._keys is None:
            self._keys = await asyncio.to_thread(importlib.import_module, "tsunagu_node.identity.keys")

    def _hold(self, identity: identities_pb2.Identity | None) -> None:
        before, self.held, trouble, self.trouble = self.held, identity, self.trouble, ""
        if before != identity or trouble:
            self._changed()

    def _complain(self, reason: str) -> None:
        if reason != self.trouble:
            log.warning("no certificate", **self._holder.named, reason=reason)
        self.trouble = reason
        self._changed()

    async def _wait(self, version: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._trust.newer(version)
        except TimeoutError:
            return
