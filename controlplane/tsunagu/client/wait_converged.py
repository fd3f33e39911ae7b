"""Until every proxy has what it should have, however long that may take.

The one rule: one deadline for the whole of it. The control plane answers a wait after 600 s at the latest and refuses a
longer one (inspector.proto), so it is asked in slices; between them what is missing is told.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from tsunagu.client.connection import short
from tsunagu.client.errors import NotConverged
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.client.connection import Link

#: Far below what the control plane allows: so often is told what is still missing.
_SLICE_SECONDS = 10.0


class Deadline:
    """The time that several waits have together: ``seconds`` from now; None is for ever."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = math.inf if seconds is None else time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; 0 when it is over, infinite when it never is."""
        return max(0.0, self._end - time.monotonic())


async def until_converged(link: Link, revision: int, deadline: Deadline, tell: Callable[[str], None]) -> int:
    """Returns the revision (0: the present one) when every expected proxy has ACKed it.

    ``tell`` gets what is missing, when that is something else than before. Raises NotConverged with it at the deadline.
    """
    told = ""
    while True:
        request = inspector_pb2.WaitRequest(revision=revision, timeout_seconds=min(deadline.left(), _SLICE_SECONDS))
        answer = await link.inspector.Wait(request)
        revision = answer.revision  # of the later slices as well: what the present one is may change for ever
        if answer.converged:
            return revision
        missing = "; ".join(f"{short(lack.proxy)}: {' '.join(lack.reason.split())}" for lack in answer.missing)
        if not deadline.left():
            raise NotConverged(f"not converged on revision {revision} after {deadline.seconds:g} s: {missing}")
        if missing != told:
            told = missing
            tell(f"not converged yet: {missing}")
