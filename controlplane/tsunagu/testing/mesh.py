"""A whole mesh in a test: real Envoys, real processes, the very programs that `tsunagu up` runs.

    with Mesh("shop.yaml") as mesh:
        mesh.wait_steady()
        assert mesh.call("http://orders/", from_task="web").status == 200

Rule: everything goes through the public APIs and the operating system, so that what a test sees is what a user sees. Ordinary
(not asynchronous) code, usable from any test; every wait has a deadline and says what it waited for.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

import grpc

from tsunagu.client import apply, manifest_files, nodes, wait_steady
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import errors, ids
from tsunagu.model.manifests import formats
from tsunagu.model.statuses import Status, StopCode
from tsunagu.testing import call as calls
from tsunagu.testing import publishing
from tsunagu.testing.apis import Apis, in_service, qualified
from tsunagu.testing.aws import wait_endpoint
from tsunagu.testing.call import Call, Executed
from tsunagu.testing.errors import MeshError, NotConverged, RequestRefused, UnknownName
from tsunagu.testing.load import SCHEMES, Load, Plan
from tsunagu.testing.ports import free_port
from tsunagu.testing.running import Running
from tsunagu.testing.target import Target
from tsunagu.v1 import inspector_pb2, node_pb2, objects_pb2
from tsunagu.xds.resources import SHORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from tsunagu.kit.http import Response
    from tsunagu.model.manifests.formats import Document
    from tsunagu.settings import Home
    from tsunagu.testing.processes import Processes

_POLL, _LEAK_SECONDS, _TRIES = 0.02, 20.0, 10

#: The meshes that run, for whoever reports on a failed test (`testing.plugin`).
LIVE: WeakSet[Mesh] = WeakSet()


class Mesh:
    """A mesh in a home of its own, from `start` (or `with`) to `close`.

    `paths`: manifests or folders of them to begin with; `publish`: as for `tsunagu up --publish`, e.g. "8080=web:80";
    `secrets`: values for `secrets[].valueFrom`; `start_timeout`: seconds until its APIs and its node must be there;
    `environment`: for its processes, e.g. {"TSUNAGU_LOG_LEVEL": "debug"}; `stop_within`: seconds that draining may take at the
    end; `xds`: the variant that its Envoys speak, "delta" or "sotw"; `runtime` ("auto", "linux", "docker", "linux,docker"),
    `allow`, `zones`, `hooks` ({ARN: command or URL}): as for `tsunagu up`; `aws`: answer AWS's APIs, to a client made with `aws()`.
    """

    def __init__(  # noqa: PLR0913 - options by keyword
        self,
        *paths: Path | str,
        publish: Sequence[str] = (),
        secrets: Mapping[str, str] | None = None,
        start_timeout: float = 60.0,
        stop_within: float = 3.5,
        environment: Mapping[str, str] | None = None,
        xds: str = "delta",
        runtime: str = "auto",
        allow: Sequence[str] = (),
        zones: Sequence[str] = (),
        aws: bool = False,
        hooks: Mapping[str, str] | None = None,
    ) -> None:
        self._manifests = [Path(path).absolute() for path in paths]
        self._secrets = dict(secrets or {})
        options = ["--stop-within", str(stop_within), "--xds", xds, "--runtime", runtime]
        several = [("--publish", publish), ("--allow", allow), ("--hook", list(map("=".join, (hooks or {}).items())))]
        several += [("--zones", [",".join(zones)] if zones else []), ("--aws", ["0"] if aws else [])]
        options += [word for option, texts in several for text in texts for word in (option, text)]
        self._nodes = runtime.count(",") + 1
        self._running = Running(options, environment)
        self._start_timeout = start_timeout
        self._apis: Apis | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            error.add_note(self.last_words())  # its logs go with it
        self.close()

    def __repr__(self) -> str:
        return f"<Mesh in {self.home.root}; look inside with 'tsunagu ps --home {self.home.root}'>"

    def start(self) -> None:
        """Returns when a node is there and the manifests are applied; services may still be starting.

        When that fails, nothing is left of it.
        """
        try:
            self._start()
        except BaseException:
            self._running.abandon(_LEAK_SECONDS)
            raise
        LIVE.add(self)

    def _start(self) -> None:
        wanted = manifest_files.read_manifests(self._manifests)
        self._running.start(self._manifests, self._secrets)
        deadline = time.monotonic() + self._start_timeout
        while not (self.answers() and self._is_applied(wanted)):
            if (ended := self._running.ended) is not None or time.monotonic() > deadline:
                late = f"the mesh is not up after {self._start_timeout:g} s"
                raise MeshError(f"{late if ended is None else f'tsunagu up ended with {ended}'}\n{self.last_words()}")
            time.sleep(_POLL)

    def close(self) -> None:
        """Drains and ends the mesh. Raises MeshError when it left anything behind (process, container, mount, socket...)."""
        if self._apis:
            self._apis.close()
            self._apis = None
        LIVE.discard(self)
        self._running.end()
        if left := self.left_behind(_LEAK_SECONDS):
            raise MeshError("the mesh left behind:\n  " + "\n  ".join(left) + f"\n{self.last_words()}")
        self._running.remove()

    def aws(self, timeout: float = 10.0) -> dict[str, str]:
        """The arguments of `boto3.client(SERVICE, ...)` for this mesh. Raises MeshError when its endpoint is not there in time."""
        return wait_endpoint(self.home, timeout)

    def left_behind(self, timeout: float) -> list[str]:
        """What is left of a mesh that ends: processes, containers, mounts, network namespaces, sockets. Waits until nothing is,
        `timeout` seconds at most, and then kills the processes that there still are.
        """
        return self._running.left_behind(timeout)

    def answers(self) -> bool:
        """Whether the control plane answers and its nodes are there; after a death that takes a moment."""
        if not self.home.api_socket.exists():
            return False
        apis = self._apis or Apis(self.home.api_socket)
        try:
            found = apis.objects("Node")
            up = apis.info().synced and sum(map(nodes.is_ready, found)) >= self._nodes
        except RequestRefused as error:
            apis.close()
            self._apis = None
            if error.status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return False
            raise
        self._apis = apis
        self._running.learn(found)
        return up

    @property
    def home(self) -> Home:
        """Its directory, with its sockets and logs."""
        return self._running.home

    @property
    def folder(self) -> Path:
        """A directory of this test's mesh; gone at its end."""
        return self._running.folder

    @property
    def apis(self) -> Apis:
        """The generated APIs, for what has no method here. Raises MeshError when the mesh is not running."""
        if self._apis is None:
            raise MeshError("the mesh has not been started, or was closed")
        return self._apis

    def processes(self) -> Processes:
        """Its processes as the machine sees them."""
        return self._running.processes()

    def kill(self, what: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to `serve`, `node` (of several `node-NAME`), `janitor`, `up`, `envoy:TASK`, `init:TASK` or `app:TASK`.
        TASK may be a task's ID or the name of a service, which means one of its running tasks.
        """
        kind, _, task = what.partition(":")
        self._running.kill(kind, ids.task_id(self.task(task)) if task else "", number)

    def last_words(self) -> str:
        """The ends of its logs: first what the containers wrote, then its own processes."""
        return self._running.last_words()

    # -- objects ------------------------------------------------------------------------------------------------------

    def apply(self, *paths: Path | str, text: str = "", objects: Iterable[objects_pb2.Object] = ()) -> int:
        """Brings manifests (files, folders, or YAML in `text`) or ready objects into the mesh; the registry's revision.

        Raises ManifestError with every fault at its line. Relative folders in `text` begin at the current one.
        """
        sources = [formats.Source("text.yaml", text)] if text else []
        documents = (*manifest_files.read_manifests(Path(path).absolute() for path in paths), *formats.read(sources))
        if documents:
            self._commit(documents)
        ready = list(objects)
        if ready:
            self.apis.batch(ready)
        return self.revision

    @property
    def revision(self) -> int:
        """The registry's."""
        return self.apis.info().revision

    def objects(self, kind: str = "", prefix: str = "") -> list[objects_pb2.Object]:
        """Objects of a kind (Service, Task, ...), sorted by name."""
        return self.apis.objects(kind, prefix)

    def get(self, kind: str, name: str) -> objects_pb2.Object | None:
        """One object by its whole name."""
        return self.apis.get(kind, name)

    def delete(self, kind: str, name: str) -> int:
        """Deletes an object; a deleted service drains its tasks. Returns the revision."""
        return self.apis.delete(kind, name)

    def scale(self, service: str, count: int) -> int:
        """Sets how many tasks a service is to have; the revision."""

        def change(obj: objects_pb2.Object) -> None:
            obj.service.spec.desired_count = count

        return self.apis.update("Service", qualified(service), change)

    # -- tasks --------------------------------------------------------------------------------------------------------

    def tasks(self, service: str = "", *, stopped: bool = False) -> list[objects_pb2.Object]:
        """Tasks of a service (or all), oldest first; with `stopped` also those that have stopped."""
        every = self.apis.objects("Task")
        found = [task for task in every if not service or ids.service_of(task) == qualified(service)]
        found.sort(key=lambda task: (task.meta.created_revision, task.meta.name))
        return [task for task in found if stopped or task.task.status.last_status != Status.STOPPED]

    def task(self, word: str) -> objects_pb2.Object:
        """The task that `word` means: its ID or name, or a service's name for its oldest running task.

        Raises UnknownName, a LookupError.
        """
        found = self.apis.objects("Task")
        named = [task for task in found if word in (task.meta.name, ids.task_id(task))]
        running = [task for task in self.tasks(word) if in_service(task)]
        if not named and not running:
            services = {*map(ids.service_of, found)} - {""}
            names = [*(ids.task_id(task) for task in found), *services, *(name.rpartition("/")[2] for name in services)]
            known = ", ".join(f"{ids.task_id(task)} {task.task.status.last_status}" for task in found) or "none"
            hint = did_you_mean(word, set(names) - {word}, f"there are: {known}")
            raise UnknownName(f"there is no task {word!r}, and no service of this name has a running one; {hint}")
        return (named or running)[0]

    def stop(self, task: str, reason: str = "stopped by a test") -> int:
        """Asks one task to stop in order: it drains first. Its service starts another. Returns the revision."""

        def change(obj: objects_pb2.Object) -> None:
            spec = obj.task.spec
            spec.desired_status, spec.stop_code, spec.stop_reason = Status.STOPPED, StopCode.USER, reason

        return self.apis.update("Task", self.task(task).meta.name, change)

    def logs(self, task: str, container: str = "", tail: int | None = None) -> list[str]:
        """Lines that a task's containers have written ("envoy": its proxy), also after it has stopped."""
        lines = self.apis.logs(self.task(task), container, tail)
        return [line.line.decode(errors="replace") for line in lines]

    def execute(
        self, task: str, *command: str, container: str = "", stdin: bytes = b"", timeout: float = 30.0
    ) -> Executed:
        """Runs a command inside a task, as one of its containers. Raises MeshError when it cannot be run."""
        start = node_pb2.ExecStart(task=self.task(task).meta.name, container=container, command=command)
        try:
            return self.apis.execute(self.task(task), start, stdin, timeout)
        except RequestRefused as error:
            raise MeshError(f"{' '.join(command)[:200]} in {task}: {error}") from None

    def envoy(self, task: str, path: str, method: str = "GET") -> Response:
        """One request to the admin interface of a task's Envoy, e.g. '/clusters?format=json'."""
        return self.apis.envoy(self.task(task), path, method)

    # -- calls and load -----------------------------------------------------------------------------------------------

    def call(
        self,
        url: str,
        from_task: str = "",
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> Response:
        """An HTTP request, made inside the task `from_task`; without one from here, through a published port.

        Raises CallFailed when there is no HTTP answer at all.
        """
        request = Call(url, method, body, headers or {}, timeout)
        if from_task:
            return calls.answered(self.execute(from_task, *calls.command(request), timeout=timeout + 10), request)
        return calls.direct(request, self._address(url))

    def publish(self, alias: str, port: int = 80, *, namespace: str = "", timeout: float = 30.0) -> str:
        """Opens a free port of this machine that leads to `alias`:`port`, also "ALIAS:PORT"; its address as "127.0.0.1:PORT"."""
        alias, port = publishing.name_and_port(alias, port)
        host_port = free_port()
        gateway = publishing.gateway(self.apis.state(), alias, port, namespace, host_port)
        self.apis.put(gateway)
        self.wait_until(lambda: self._gateway_serves(gateway.meta.name), timeout, f"the gateway for {alias}:{port}")
        return f"127.0.0.1:{host_port}"

    def load(self, url: str, plan: Plan | None = None) -> Load:
        """Load from here on a URL (http, tcp, grpc) of the mesh (published before) or of this machine; a `with` block runs it."""
        return Load(url, plan, connect=self._address(url))

    # -- waiting ------------------------------------------------------------------------------------------------------

    def wait_converged(self, timeout: float = 30.0, *, revision: int = 0, namespace: str = "") -> int:
        """Returns when every expected proxy has ACKed the revision (the present one); raises NotConverged."""
        answer = self.apis.wait(revision, timeout, namespace)
        if not answer.converged:
            raise NotConverged(answer.revision, {lack.proxy: lack.reason for lack in answer.missing})
        return answer.revision

    def wait_steady(self, timeout: float = 60.0) -> None:
        """Returns when every service and gateway runs what it should, and every proxy has ACKed it."""
        deadline = time.monotonic() + timeout
        while reasons := wait_steady.unsteady(self.apis.state()):
            if time.monotonic() > deadline:
                raise MeshError("not steady: " + "; ".join(reasons))
            time.sleep(_POLL)
        self.wait_converged(max(1.0, deadline - time.monotonic()))

    def wait_until(self, condition: Callable[[], Any], timeout: float = 30.0, what: str = "") -> Any:
        """Returns the first true value of `condition`; raises MeshError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise MeshError(f"{what or 'the condition'} did not come true in {timeout:g} s")
            time.sleep(_POLL)
        return value

    # -- xDS ----------------------------------------------------------------------------------------------------------

    def proxies(self, proxy: str = "") -> list[inspector_pb2.Proxy]:
        """What each proxy has been sent and has accepted."""
        return self.apis.proxies(proxy)

    def timeline(self, *, proxy: str = "", type: str = "", after: int = 0) -> list[inspector_pb2.TimelineEvent]:  # noqa: A002
        """Every xDS message that is still kept, oldest first; `type` is CDS, EDS, LDS, RDS or SDS."""
        return list(self.apis.timeline(inspector_pb2.TimelineRequest(proxy=proxy, type=type, after=after)))

    def follow(self, *, proxy: str = "", type: str = "", after: int = 0) -> Iterator[inspector_pb2.TimelineEvent]:  # noqa: A002
        """As `timeline`, and then what happens next, until one stops reading."""
        request = inspector_pb2.TimelineRequest(follow=True, proxy=proxy, type=type, after=after)
        return self.apis.timeline(request)

    def override(self, namespace: str, type: str, name: str, body: bytes = b"") -> int:  # noqa: A002
        """Puts a raw resource over what translation makes (a provoked NACK); an empty body takes it away."""
        request = inspector_pb2.OverrideRequest(namespace=namespace, type_url=SHORT[type], name=name, body=body)
        return self.apis.override(request)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _is_applied(self, documents: Sequence[Document]) -> bool:
        with suppress(errors.ManifestError):  # a node is missing; what else is wrong `up` says itself, and ends
            return not apply.planned(documents, self.apis.state(), self._secrets).changes
        return False

    def _commit(self, documents: Sequence[Document]) -> None:
        for _ in range(_TRIES):
            changes = apply.planned(documents, self.apis.state(), self._secrets).changes
            try:
                self.apis.commit(changes)
            except RequestRefused as error:
                if error.status is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
            else:
                return
        raise MeshError(f"what the manifests name was changed by others {_TRIES} times in a row")

    def _gateway_serves(self, name: str) -> bool:
        return any(in_service(task) for task in self.apis.objects("Task") if task.task.spec.gateway == name)

    def _address(self, url: str) -> tuple[str, int]:
        return publishing.address(self.apis.state(), Target.parse(url, schemes=SCHEMES))
