"""Keeps the egress access log of one task's Envoy as the registry wants it.

Rule: what is wanted is put into the bootstrap of each start and posted to the Envoy that runs, until it has answered. So it
survives a restart of Envoy (the new one starts with it) and of the node agent (the first word of the registry is posted).
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.log import get
from tsunagu_sidecar import egress_log
from tsunagu_sidecar.admin import Admin, AdminError

_RETRY: Final = Backoff(base=0.1, cap=5.0)
log = get("node.egress_log")


class EgressLog:
    """The switch. `mode`: one of `tsunagu_sidecar.egress_log`; `adopted`: an Envoy runs already, maybe in another mode."""

    def __init__(self, mode: str, *, adopted: bool) -> None:
        self._mode = mode
        self._changed = asyncio.Event()
        if adopted:
            self._changed.set()

    def want(self, mode: str) -> None:
        """Take over what the registry wants."""
        if mode != self._mode:
            self._mode = mode
            self._changed.set()

    def values(self) -> Mapping[str, int]:
        """Return the values of runtime keys with which an Envoy starts."""
        return egress_log.values(self._mode)

    async def run(self, admin: Admin) -> None:
        """Keep the Envoy that runs as it is wanted, until cancelled."""
        failures = 0
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await admin.post(egress_log.target(self._mode))
                failures = 0
            except AdminError as error:
                failures += 1
                log.warning("egress log not switched yet", mode=self._mode, reason=str(error))
                self._changed.set()
                await asyncio.sleep(_RETRY.delay(failures))
