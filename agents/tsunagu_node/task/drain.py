"""Waits until a task that is to stop has no callers left.

Rule: first every proxy has ACKed that the task's endpoints are gone, then its ingress is idle for a while without a break;
an ACK alone is not enough (a request may start some ms after it), and an unknown gauge is never "idle". The caller limits
the time of all of it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.control import ControlPlane, Refused
from tsunagu_node.task.spec import task_id
from tsunagu_node.task.status_writer import StatusWriter
from tsunagu_sidecar.admin import Admin, AdminError
from tsunagu_sidecar.idle import CALLS, Idleness, IngressPort, MissingGauge, Read, observe, observe_calls, stats_filter

_POLL: Final = 0.025
_SLICE: Final = 2.0  # after so many seconds the control plane says who is still missing
_NAMED: Final = 3  # of the proxies that are missing
_RETRY: Final = 0.25
log = get("node.drain")


async def acknowledged_by_all(
    control: ControlPlane,
    writer: StatusWriter,
    namespace: str,
    timeout: float,
    notify: Callable[[str], None] = lambda _: None,
) -> None:
    """Wait until every proxy of the namespace has ACKed the status that `writer` has last, at most `timeout` seconds.

    `notify` gets what is still waited for, again and again.
    """
    deadline = time.monotonic() + timeout
    try:
        async with asyncio.timeout(timeout):
            if revision := await writer.written():
                await _acked(control, revision, namespace, (deadline, notify))
    except TimeoutError:
        log.warning("the control plane did not answer in time which proxies know of the stop", namespace=namespace)


async def _acked(
    control: ControlPlane, revision: int, namespace: str, until: tuple[float, Callable[[str], None]]
) -> None:
    """Ask until the answer is yes; the caller limits the time. `until`: when to give up, and whom to notify meanwhile."""
    logged, (deadline, notify) = "", until
    while True:
        try:
            answer = await control.wait(revision, namespace, min(_SLICE, max(0.0, deadline - time.monotonic())))
        except Refused as error:
            # It may answer in a moment what it refuses now (a namespace that it does not know yet); and no answer about one
            # task may end the node agent.
            why = str(error)
        else:
            if answer.converged:
                return
            why = ", ".join(f"{task_id(proxy.proxy)}: {proxy.reason}" for proxy in answer.missing[:_NAMED])
            why += f" and {len(answer.missing) - _NAMED} more" if len(answer.missing) > _NAMED else ""
        notify(why)
        if logged != (logged := why):
            log.warning("not all proxies are known to know of the stop", namespace=namespace, reason=why)
        await asyncio.sleep(_RETRY)


async def idle(admin: Admin, ports: Sequence[IngressPort]) -> None:
    """Wait until nothing has gone through the ingress listeners for IDLE_SECONDS."""
    if ports:
        await _idle(admin, stats_filter(ports), lambda seen, stats, read: observe(seen, stats, ports, read))


async def calls_ended(admin: Admin) -> None:
    """Wait until a gateway's proxy has had no request under way for IDLE_SECONDS; its clients are asked to hang up."""
    with contextlib.suppress(AdminError):  # a restarted Envoy has no connections
        await admin.post("/drain_listeners?graceful&skip_exit")  # from here on each answer says `connection: close`
    await _idle(admin, CALLS, observe_calls)


async def _idle(admin: Admin, pattern: str, look: Callable[[Idleness, Mapping[str, int], Read], Idleness]) -> None:
    seen = Idleness()
    logged = ""
    while not seen.reached():
        try:
            asked = time.monotonic()
            stats = await admin.stats(pattern)
            seen = look(seen, stats, Read(asked, time.monotonic()))
        except (AdminError, MissingGauge) as error:
            # An Envoy that restarts, or does not report the gauge, is not idle.
            seen = Idleness()
            if logged != (logged := str(error)):
                log.warning("cannot tell whether the ingress is idle", reason=logged)
        await asyncio.sleep(_POLL)
