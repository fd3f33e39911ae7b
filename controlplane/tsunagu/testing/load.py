"""Steady load on one URL, with every failure counted: what shows whether a change of the mesh is felt by its users.

Rule: an open loop. Requests are due at fixed times whether or not the earlier ones were answered, and latency counts
from the time at which a request was due; else a stall of the mesh would slow the load down and hide itself. Requests
that no connection was free for in time (`Plan.late`) are not sent, and counted as failures ("not sent in time").
"""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tsunagu.client.errors import first
from tsunagu.kit.http import HttpError, Response
from tsunagu.testing.exchanges import EXCHANGES, CallFailed, Exchange
from tsunagu.testing.target import Target

_LATENCIES_KEPT = 1_000_000
NOT_SENT = "not sent in time"
SCHEMES = tuple(EXCHANGES)
"""Of the URLs that a load takes."""

Label = Callable[[Response], str]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a load until now.

    `failures` counts by kind ("503", "timed out", "connection lost", "connection refused", "not sent in time"; of a gRPC call
    the name of its status, "UNAVAILABLE");
    `labels` counts successes by what the load's `label` makes of an answer; `first_failure` is the message of the first one.
    `longest_gap`: most seconds between two successes in a row. Latencies in seconds, of answered requests, from when
    they were due.
    """

    requests: int
    succeeded: int
    failures: Mapping[str, int]
    labels: Mapping[str, int]
    seconds: float
    longest_gap: float
    latencies: tuple[float, ...]
    first_failure: str = ""

    @property
    def failed(self) -> int:
        """How many were not answered with a status below 400."""
        return sum(self.failures.values())

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0

    def latency(self, percentile: float) -> float:
        """Of 0..100; `nan` when nothing was answered. 100 is the longest."""
        if not self.latencies:
            return math.nan
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percentile / 100))]

    def __str__(self) -> str:
        failures = ", ".join(f"{kind}: {count}" for kind, count in sorted(self.failures.items())) or "none"
        p50, p99 = self.latency(50) * 1000, self.latency(99) * 1000
        return (
            f"{self.requests} requests in {self.seconds:.1f} s, {self.failed} failed ({failures}), "
            f"median {p50:.1f} ms, 99 % {p99:.1f} ms"
        )


@dataclass(slots=True)
class _Tally:
    """Counts as the load goes on. Changed by the load's thread alone."""

    begun: float
    requests: int = 0
    succeeded: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    first_failure: str = ""
    longest_gap: float = 0.0
    last_success: float = 0.0
    ended: float | None = None

    def success(self, label: str, latency: float, now: float) -> None:
        self.requests += 1
        self.succeeded += 1
        self.longest_gap = max(self.longest_gap, now - (self.last_success or self.begun))
        self.last_success = now
        if label:
            self.labels[label] += 1
        if len(self.latencies) < _LATENCIES_KEPT:
            self.latencies.append(latency)

    def failure(self, kind: str, message: str) -> None:
        self.requests += 1
        self.failures[kind] += 1
        self.first_failure = self.first_failure or message

    def report(self, now: float) -> Report:
        until = self.ended or now
        gap = max(self.longest_gap, until - (self.last_success or self.begun))
        return Report(
            requests=self.requests,
            succeeded=self.succeeded,
            failures=dict(self.failures),
            labels=dict(self.labels),
            seconds=until - self.begun,
            longest_gap=gap,
            latencies=tuple(self.latencies),
            first_failure=self.first_failure,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How much load: `rps` requests per second in all, over `connections` kept-alive connections, for `seconds` at most;
    a request without an answer after `timeout` seconds has failed, as has one that no connection was free for within `late`
    seconds: where the machine may be busy, and only answers count, let it be long. `label` names what to count of an answer; what it
    cannot find there (LookupError, ValueError, TypeError) is counted as "?", any other error ends the load. `send` is what
    each request carries: the body of a POST, the message of a gRPC call, the bytes for a new TCP connection.
    """

    rps: float = 100.0
    connections: int = 10
    seconds: float = 600.0
    timeout: float = 20.0
    late: float = 1.0
    label: Label | None = None
    send: bytes = b""

    def __post_init__(self) -> None:
        if not 0 < self.rps <= 20_000 or not 0 < self.connections <= 1000 or not 0 < self.seconds <= 3600:
            raise ValueError("load is bounded: 0 < rps <= 20000, 0 < connections <= 1000, 0 < seconds <= 3600")


class Load:
    """Load in a thread of its own, while a `with` block lasts (or until `plan.seconds` are over).

    `url` begins with http://, tcp:// (each request is a new connection, and its answer the first line) or grpc:// (unary
    calls of the method that is its path).

    with Load("http://127.0.0.1:8080/", Plan(rps=200)) as load:
        ...
    assert load.report().failed == 0
    """

    def __init__(self, url: str, plan: Plan | None = None, *, connect: tuple[str, int] | None = None) -> None:
        self._target = Target.parse(url, connect, SCHEMES)
        self._plan = plan or Plan()
        self._stop = threading.Event()
        self._tally = _Tally(begun=time.monotonic())
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name=f"load on {url}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if error is None:
            self._raise()

    def stop(self) -> Report:
        """End the load, wait for requests that are under way, and return the report."""
        self._end()
        return self.report()

    def _end(self) -> None:
        self._stop.set()
        self._thread.join(self._plan.timeout + 5)

    def wait(self) -> Report:
        """Wait until `plan.seconds` are over, and return the report."""
        self._thread.join(self._plan.seconds + self._plan.timeout + 5)
        return self.report()

    def report(self) -> Report:
        """The report until now, also while the load goes on. Raises the error that ended the load, if one did."""
        self._raise()
        return self._tally.report(time.monotonic())

    def wait_requests(self, count: int, timeout: float = 60.0) -> Report:
        """Waits until `count` more requests have ended. Raises TimeoutError."""
        goal, deadline = self._tally.requests + count, time.monotonic() + timeout
        while self._tally.requests < goal:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TimeoutError(f"{self._tally.requests} requests ended, not {goal}: {self.report()}")
            time.sleep(0.01)
        return self.report()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _main(self) -> None:
        try:
            asyncio.run(self._drive())
        except Exception as error:  # noqa: BLE001 - the top of the thread: unreported, it would look like a load without failures
            self._error = first(error)

    async def _drive(self) -> None:
        self._tally.begun = begun = time.monotonic()
        slots = _Slots(self._plan, begun)
        async with asyncio.TaskGroup() as group:
            for number in range(self._plan.connections):
                group.create_task(self._worker(slots), name=f"load connection {number}")
        self._tally.ended = time.monotonic()

    async def _worker(self, slots: "_Slots") -> None:
        exchange = EXCHANGES[self._target.scheme](self._target, self._plan.send)
        try:
            while (due := slots.take()) is not None and not self._stop.is_set():
                if not await self._until(due):
                    return
                if time.monotonic() - due > self._plan.late:
                    words = f"all connections were busy for more than {self._plan.late:g} s"
                    self._tally.failure(NOT_SENT, words)
                else:
                    await self._one(exchange, due)
        finally:
            exchange.close()

    async def _until(self, due: float) -> bool:
        """Sleeps until `due`; False when the load was stopped meanwhile."""
        while (wait := due - time.monotonic()) > 0:
            if self._stop.is_set():
                return False
            await asyncio.sleep(min(wait, 0.1))
        return True

    async def _one(self, exchange: Exchange, due: float) -> None:
        try:
            answer = await exchange.ask(self._plan.timeout)
        except CallFailed as error:
            self._tally.failure(error.kind, f"{error.kind}: {error}")
            return
        except (OSError, HttpError) as error:
            self._tally.failure(_kind(error), f"{_kind(error)}: {error}")
            return
        now = time.monotonic()
        if answer.status >= 400:
            text = answer.body[:300].decode(errors="replace").strip()
            self._tally.failure(str(answer.status), f"{answer.status}: {text}")
            return
        self._tally.success(self._label(answer), now - due, now)

    def _label(self, answer: Response) -> str:
        if self._plan.label is None:
            return ""
        with suppress(LookupError, ValueError, TypeError):
            return self._plan.label(answer)
        return "?"


class _Slots:
    """The times at which requests are due, each given out once."""

    def __init__(self, plan: Plan, begun: float) -> None:
        self._plan, self._begun, self._next = plan, begun, 0

    def take(self) -> float | None:
        due = self._next / self._plan.rps
        if due >= self._plan.seconds:
            return None
        self._next += 1
        return self._begun + due


_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timed out"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionError, "connection lost"),
    (HttpError, "no HTTP"),
)


def _kind(error: BaseException) -> str:
    return next((kind for of, kind in _KINDS if isinstance(error, of)), "cannot connect")
