"""The convergence barrier: who waits until all proxies have a revision, and who is still missing.

Rule: an ACK costs a look-up, whatever number of proxies is awaited; only when the last one missing has come is everyone
looked at again. Who is expected is asked anew each time, for tasks come and go while one waits.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class Missing:
    """A proxy that has not ACKed everything, and why: "not connected", "LDS NACKed: ..."."""

    proxy: str
    reason: str


class Barrier:
    """`why(proxy, revision)` says what a proxy lacks of a revision; empty: nothing."""

    def __init__(self, why: Callable[[str, int], str]) -> None:
        self._why = why
        self._waiters: set[_Waiter] = set()

    async def wait(self, revision: int, expected: Callable[[], Iterable[str]], timeout: float) -> list[Missing]:
        """Returns when nobody is missing, or at the timeout (seconds) with those that are."""
        waiter = _Waiter(self._why, revision, expected)
        waiter.look()
        if waiter.missing and timeout > 0:
            self._waiters.add(waiter)
            try:
                async with asyncio.timeout(timeout):
                    await waiter.done
            except TimeoutError:
                waiter.look()
            finally:
                self._waiters.discard(waiter)
        return [Missing(proxy, reason) for proxy, reason in sorted(waiter.missing.items())]

    def moved(self, proxy: str) -> None:
        """Something about this proxy's streams has changed."""
        for waiter in self._waiters:
            waiter.moved(proxy)

    def look(self) -> None:
        """What is expected or published has changed."""
        for waiter in self._waiters:
            waiter.look()


class _Waiter:
    def __init__(self, why: Callable[[str, int], str], revision: int, expected: Callable[[], Iterable[str]]) -> None:
        self._why = why
        self._revision = revision
        self._expected = expected
        self.missing: dict[str, str] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(self) -> None:
        """Ask of everyone who is expected now."""
        reasons = ((proxy, self._why(proxy, self._revision)) for proxy in self._expected())
        self.missing = {proxy: reason for proxy, reason in reasons if reason}
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def moved(self, proxy: str) -> None:
        if proxy not in self.missing:
            return
        reason = self._why(proxy, self._revision)
        if reason:
            self.missing[proxy] = reason
            return
        del self.missing[proxy]
        if not self.missing:
            self.look()
