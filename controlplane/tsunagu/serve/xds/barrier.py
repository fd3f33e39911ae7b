"""The convergence barrier: waits until all expected proxies have ACKed a revision, and names those that have not.

Rule: an ACK costs one look-up, whatever the number of awaited proxies. All expected proxies are checked again only when the
last missing one has ACKed; the expected set is computed anew each time, for tasks come and go meanwhile.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RECHECK = 1.0  # s; who is expected can change by time alone: a client that stays silent is waited for only so long


@dataclass(frozen=True, slots=True)
class Missing:
    """A proxy that has not ACKed everything, and why: "not connected", "LDS NACKed: ..."."""

    proxy: str
    reason: str


class Barrier:
    """`why(proxy, revision)` returns why a proxy has not converged on a revision; empty: it has."""

    def __init__(self, why: Callable[[str, int], str]) -> None:
        self._why = why
        self._waiters: set[_Waiter] = set()

    async def wait(self, revision: int, expected: Callable[[], Iterable[str]], timeout: float) -> list[Missing]:
        """Return when no proxy is missing, or after `timeout` seconds those that are."""
        waiter = _Waiter(self._why, revision, expected)
        waiter.check()
        if waiter.missing and timeout > 0:
            self._waiters.add(waiter)
            try:
                async with asyncio.timeout(timeout):
                    while not waiter.done.done():
                        await asyncio.wait((waiter.done,), timeout=RECHECK)
                        waiter.check()
            except TimeoutError:
                waiter.check()
            finally:
                self._waiters.discard(waiter)
        return [Missing(proxy, reason) for proxy, reason in sorted(waiter.missing.items())]

    def progressed(self, proxy: str) -> None:
        """A stream of this proxy has answered, come or gone."""
        for waiter in self._waiters:
            waiter.progressed(proxy)

    def check(self) -> None:
        """What is expected or published may have changed."""
        for waiter in self._waiters:
            waiter.check()


class _Waiter:
    def __init__(self, why: Callable[[str, int], str], revision: int, expected: Callable[[], Iterable[str]]) -> None:
        self._why = why
        self._revision = revision
        self._expected = expected
        self.missing: dict[str, str] = {}  # proxy -> why it has not converged
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def check(self) -> None:
        """Check everyone who is expected now."""
        reasons = ((proxy, self._why(proxy, self._revision)) for proxy in self._expected())
        self.missing = {proxy: reason for proxy, reason in reasons if reason}
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def progressed(self, proxy: str) -> None:
        if proxy not in self.missing:
            return
        reason = self._why(proxy, self._revision)
        if reason:
            self.missing[proxy] = reason
            return
        del self.missing[proxy]
        if not self.missing:
            self.check()
