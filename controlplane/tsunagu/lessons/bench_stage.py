"""A stage without a mesh: an xDS server of the library in this process, and real Envoys on it.

The one rule: a lesson does to the server only what its readers can do, by lines of Python that they see: what is shown is
what is executed.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tsunagu
from tsunagu.lessons import ending, envoy_process
from tsunagu.lessons.shown import LessonFailed, Shown
from tsunagu.serve.api.inspector_messages import timeline_event

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from tsunagu.testing import Load, Plan
    from tsunagu.v1.inspector_pb2 import TimelineEvent

_SECONDS = 15.0


class BenchStage:
    """A server, whose event loop has a thread of its own, and the Envoys that were started on it."""

    invites = ""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="xDS server of the lesson", daemon=True)
        self._thread.start()
        self.server = self._call(self._made())
        self._port = self._call(self.server.start("127.0.0.1:0"))
        self._names: dict[str, Any] = {"server": self.server, "resources_from": self._resources_from}

    @staticmethod
    async def _made() -> tsunagu.XdsServer:
        return tsunagu.XdsServer(signals=(), identifier="lesson")

    def close(self) -> None:
        """End the server and its thread."""
        self._call(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()

    def envoy(self, name: str, api_type: str) -> None:
        """Start an Envoy; it ends with the stage."""
        config = envoy_process.write_bootstrap(self.folder, name, api_type, self._port)
        self._stack.enter_context(envoy_process.running(self.folder, config))

    def converged(self, *names: str) -> None:
        """Return when these clients have accepted all that there is. Raises LessonFailed."""
        try:
            self._call(self.server.converged(*names, timeout=_SECONDS))
        except tsunagu.NotConverged as error:
            raise LessonFailed(str(error)) from error

    def words(self) -> Mapping[str, str]:
        """The port of the server."""
        return {"xds": str(self._port)}

    def messages(self, after: int) -> Sequence[TimelineEvent]:
        """The server's timeline."""
        found: Sequence[TimelineEvent] = self._call(self._events(after))
        return found

    def run(self, command: str, expected: int) -> Sequence[Shown]:
        """One line of Python, or several; `server` and `resources_from` are there."""
        self._call(self._execute(command))
        return [Shown("\n".join(f">>> {line}" for line in command.splitlines()))]

    def load(self, plan: Plan) -> Load:
        """Raise LessonFailed: nothing is served here."""
        raise LessonFailed("nothing listens on the bench of a lesson")

    def _resources_from(self, name: str) -> list[tsunagu.Resource]:
        return list(tsunagu.resources_from(self.folder / name))

    async def _execute(self, command: str) -> None:
        exec(compile(command, "<lesson>", "exec"), self._names)  # noqa: S102 - the line is the lesson's own

    async def _events(self, after: int) -> list[TimelineEvent]:
        return [timeline_event(one) for one in self.server.timeline.events(after)]

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS + 5)


@contextmanager
def bench() -> Iterator[BenchStage]:
    """A server on which no Envoy is yet."""
    with ending.folder() as (path, stack):
        stage = BenchStage(path, stack)
        stack.callback(stage.close)
        yield stage


@contextmanager
def two_envoys() -> Iterator[BenchStage]:
    """A server, and two Envoys on it that speak the two variants of xDS: `sotw` and `delta`."""
    with bench() as stage:
        stage.envoy("sotw", "GRPC")
        stage.envoy("delta", "DELTA_GRPC")
        stage.converged("sotw", "delta")
        yield stage
