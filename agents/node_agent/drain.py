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

from sidecar_agent.admin import Admin, AdminError
from sidecar_agent.idle import CALLS, Idleness, IngressPort, MissingGauge, observe, observe_calls, stats_filter

from controlplane.kit.log import get
from node_agent.control import ControlPlane
from node_agent.status import StatusWriter

_LOOK: Final = 0.025
log = get("node.drain")


async def unknown_to_all(control: ControlPlane, writer: StatusWriter, namespace: str, timeout: float) -> None:
    """Waits until every proxy of the namespace has ACKed what the registry says of this task by now; or the timeout."""
    try:
        async with asyncio.timeout(timeout):
            revision = await writer.written()
            if not revision:
                return
            answer = await control.wait(revision, namespace, timeout)
            if not answer.converged:
                missing = ", ".join(f"{proxy.proxy}: {proxy.reason}" for proxy in answer.missing)
                log.warning("not all proxies know of the stop", namespace=namespace, missing=missing)
    except TimeoutError:
        log.warning("the control plane did not tell in time who knows of the stop", namespace=namespace)


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
