"""Waits until every proxy has what it should have.

The one rule: one deadline for the whole of it. The control plane answers a wait after 600 s at the latest and refuses a
longer one (inspector.proto), so it is asked in slices, and what is missing is reported between them.
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

#: How often to report what is still missing; far below what the control plane allows.
_SLICE_SECONDS = 10.0


class Deadline:
    """The end of the time that several waits share: ``seconds`` from now; None is for ever."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = math.inf if seconds is None else time.monotonic() + seconds

    def left(self) -> float:
        """The seconds that are left; 0 when it is over, infinite when it never ends."""
        return max(0.0, self._end - time.monotonic())


async def until_converged(link: Link, revision: int, deadline: Deadline, notify: Callable[[str], None]) -> int:
    """Returns the revision (0: the present one) when every expected proxy has ACKed it.

    ``notify`` gets what is missing whenever that has changed. Raises NotConverged with it at the deadline.
    """
    notified = ""
    while True:
        request = inspector_pb2.WaitRequest(revision=revision, timeout_seconds=min(deadline.left(), _SLICE_SECONDS))
        answer = await link.inspector.Wait(request)
        revision = answer.revision  # for the later slices as well: "the present revision" may move on for ever
        if answer.converged:
            return revision
        missing = "; ".join(f"{short(one.proxy)}: {' '.join(one.reason.split())}" for one in answer.missing)
        if not deadline.left():
            raise NotConverged(f"not converged on revision {revision} after {deadline.seconds:g} s: {missing}")
        if missing != notified:
            notified = missing
            notify(f"not converged yet: {missing}")
