"""What each client may take, however many streams it opens: a token, and not a connection, is who somebody is.

Rule: an identity is forgotten when its last stream has ended and it has made up for the work that it caused. A client
that comes back at once comes back to its debt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.serve.xds.allowance import Allowance
from tsunagu.serve.xds.refusal import Refused

if TYPE_CHECKING:
    from tsunagu.serve.xds.limits import Limits

SWEEP = 64  # arrivals after which identities without streams are looked through


class TooManyStreams(Refused):
    """A client has as many streams open as it may have."""

    code = "RESOURCE_EXHAUSTED"


class Identity:
    """One client, of whatever number of streams."""

    __slots__ = ("allowance", "name", "names", "streams")

    def __init__(self, name: str, allowance: Allowance) -> None:
        self.name = name
        self.streams = 0
        self.names = 0  # Invariant: the sum of what its streams hold, as they have last said
        self.allowance = allowance


class Account:
    """What one stream takes of what its client may."""

    __slots__ = ("held", "identity")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.held = 0  # names. Invariant: a summand of `identity.names`

    @property
    def elsewhere(self) -> int:
        """Names that other streams of the client hold."""
        return self.identity.names - self.held

    def hold(self, names: int) -> None:
        """The stream holds so many names now."""
        self.identity.names += names - self.held
        self.held = names


class Identities:
    """The identities that have streams, or something to make up for."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[str, Identity] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._known)

    def join(self, name: str, now: float) -> Account:
        """Count one more stream. Raises TooManyStreams."""
        self._arrivals += 1
        if self._arrivals % SWEEP == 0:
            self._sweep(now)
        identity = self._known.get(name)
        if identity is None:
            allowance = Allowance(self._limits.work_burst, self._limits.work_share, now)
            identity = self._known[name] = Identity(name, allowance)
        if identity.streams >= self._limits.streams_per_client:
            raise TooManyStreams(
                f"{self._limits.streams_per_client} streams of this client are open; it may have no more"
            )
        identity.streams += 1
        return Account(identity)

    def leave(self, account: Account, now: float) -> None:
        """Count one stream less."""
        account.hold(0)
        account.identity.streams -= 1
        self._forget(account.identity, now)

    def _sweep(self, now: float) -> None:
        for identity in list(self._known.values()):
            self._forget(identity, now)

    def _forget(self, identity: Identity, now: float) -> None:
        if not identity.streams and identity.allowance.full(now):
            self._known.pop(identity.name, None)
