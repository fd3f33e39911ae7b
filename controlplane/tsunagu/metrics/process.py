"""The process `metrics`: answers Prometheus at `/metrics`, for a mesh that runs in other processes.

Rule: rendering costs the control plane nothing but two answers of its API, at most one of each a second, however often somebody
scrapes. While it is away the answer is 503: Prometheus then says that the target is down, and not that all is 0.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc.aio
from prometheus_client.exposition import generate_latest

from tsunagu.client.connection import channel
from tsunagu.kit import http_server, log
from tsunagu.kit.ending import listen_for_the_end
from tsunagu.kit.http_server import Answer, Limits, Request
from tsunagu.metrics import families
from tsunagu.settings import Home, life_fd, log_level
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc, signals_pb2, signals_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

PATH: Final = "/metrics"
_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_TIMEOUT: Final = 5.0
_FRESH: Final = 1.0
_BACKLOG: Final = 16
#: A scraper or two, and somebody who looks.
_LIMITS: Final = Limits(connections=16, head=8 * 1024, body=0, request=5.0, answer=15.0, idle=90.0)
_AWAY: Final = Answer(503, b"the control plane does not answer\n")
_logger = log.get("metrics")


class Exporter:
    """Answers requests over a channel to the control plane. `_last`: the last answer, made at `_made` (monotonic seconds)."""

    def __init__(self, opened: grpc.aio.Channel) -> None:
        self._inspector: Any = inspector_pb2_grpc.InspectorStub(opened)
        self._signals: Any = signals_pb2_grpc.SignalsStub(opened)
        self._making = asyncio.Lock()
        self._last = _AWAY
        self._made = -_FRESH

    async def handle(self, request: Request) -> Answer:
        """Return the answer to a request, whatever it is."""
        if request.target.partition("?")[0] != PATH:
            return Answer(404, f"metrics are at {PATH}\n".encode())
        if request.method not in ("GET", "HEAD"):
            return Answer(405, b"GET or HEAD\n", headers=(("allow", "GET, HEAD"),))
        async with self._making:
            if time.monotonic() - self._made >= _FRESH:
                self._last = await self._make()
                self._made = time.monotonic()
        return self._last

    async def _make(self) -> Answer:
        try:
            async with asyncio.timeout(_TIMEOUT):
                own = await self._inspector.Metrics(inspector_pb2.MetricsRequest(), timeout=_TIMEOUT)
                parts = [part async for part in self._signals.Totals(signals_pb2.TotalsRequest(), timeout=_TIMEOUT)]
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            _logger.warning("the control plane does not answer", reason=str(error))
            return _AWAY
        tasks = [task for part in parts for task in part.tasks]
        return Answer(200, await asyncio.to_thread(rendered, tasks, own.metrics), _CONTENT_TYPE)


def rendered(tasks: Sequence[signals_pb2.TaskTotals], own: Sequence[inspector_pb2.Metric]) -> bytes:
    """Return the text that Prometheus reads."""
    return bytes(generate_latest(_Collected([*families.of_tasks(tasks), *families.of_control_plane(own)])))


class _Collected:
    """Families, as the library's registry hands them out."""

    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        return iter(self._found)


async def run(home: Home, host: str, port: int) -> None:
    """Serve at host:port until SIGTERM, or until the mesh is over. Raises OSError when nothing can listen there."""
    log.configure(file=home.log("metrics"), console=sys.stderr.isatty(), level=log_level(os.environ))
    stop = asyncio.Event()
    listen_for_the_end(stop, life_fd(os.environ))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    async with channel(home.api_socket) as opened, asyncio.TaskGroup() as group:
        served = group.create_task(
            http_server.serve(listener, Exporter(opened).handle, "metrics", _LIMITS), name="metrics"
        )
        await stop.wait()
        served.cancel()


def main(arguments: Sequence[str]) -> int:
    """`HOME HOST PORT`. Returns the exit code."""
    root, host, port = arguments
    try:
        asyncio.run(run(Home(Path(root)), host, int(port)))
    except OSError as error:
        sys.stderr.write(f"error: nothing can listen at {host}:{port}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
