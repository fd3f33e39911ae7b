"""Waiting until nobody calls a task any more.

Rule: first every proxy has ACKed that the task's endpoints are gone, then its ingress is idle for a while without a break;
an ACK alone is not enough (a request may start some ms after it), and an unknown gauge is never "idle". The caller sets
the limit to it all.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.control import ControlPlane, Refused
from tsunagu_node.task.status_writer import StatusWriter
from tsunagu_sidecar.admin import Admin, AdminError
from tsunagu_sidecar.idle import CALLS, Idleness, IngressPort, MissingGauge, observe, observe_calls, stats_filter

_LOOK: Final = 0.025
_LONGEST_WAIT: Final = 600.0  # what the Inspector's Wait takes at once; a drainTimeout may be an hour
_RETRY: Final = 0.25
log = get("node.drain")


async def unknown_to_all(control: ControlPlane, writer: StatusWriter, namespace: str, timeout: float) -> None:
    """Waits until every proxy of the namespace has ACKed what the registry says of this task by now; or the timeout."""
    deadline = time.monotonic() + timeout
    try:
        async with asyncio.timeout(timeout):
            if revision := await writer.written():
                await _acked(control, revision, namespace, deadline)
    except TimeoutError:
        log.warning("the control plane did not tell in time who knows of the stop", namespace=namespace)


async def _acked(control: ControlPlane, revision: int, namespace: str, deadline: float) -> None:
    """Asks until the answer is yes; the caller's timeout ends it."""
    told = ""
    while True:
        try:
            answer = await control.wait(revision, namespace, min(_LONGEST_WAIT, max(0.0, deadline - time.monotonic())))
        except Refused as error:
            # What it refuses now (a namespace that it has yet to learn of) it may answer in a moment; and nothing that it
            # says of one task may end the agent of all.
            why = str(error)
        else:
            if answer.converged:
                return
            why = ", ".join(f"{proxy.proxy}: {proxy.reason}" for proxy in answer.missing)
        if told != (told := why):
            log.warning("not all proxies are known to know of the stop", namespace=namespace, reason=why)
        await asyncio.sleep(_RETRY)


async def idle(admin: Admin, ports: Sequence[IngressPort]) -> None:
    """Waits until nothing has gone through the ingress for a while."""
    if ports:
        await _idle(admin, stats_filter(ports), lambda seen, stats: observe(seen, stats, ports, time.monotonic()))


async def uncalled(admin: Admin) -> None:
    """Waits until a gateway's proxy has had no request under way for a while; its clients are asked to hang up."""
    with contextlib.suppress(AdminError):  # it restarts, and nobody is connected any more
        await admin.post("/drain_listeners?graceful&skip_exit")  # from here on each answer says `connection: close`
    await _idle(admin, CALLS, lambda seen, stats: observe_calls(seen, stats, time.monotonic()))


async def _idle(admin: Admin, pattern: str, look: Callable[[Idleness, Mapping[str, int]], Idleness]) -> None:
    seen = Idleness()
    told = ""
    while not seen.reached(time.monotonic()):
        try:
            seen = look(seen, await admin.stats(pattern))
        except (AdminError, MissingGauge) as error:
            # An Envoy that restarts, or that does not say: not idle.
            seen = Idleness()
            if told != (told := str(error)):
                log.warning("cannot tell whether the ingress is idle", reason=told)
        await asyncio.sleep(_LOOK)
