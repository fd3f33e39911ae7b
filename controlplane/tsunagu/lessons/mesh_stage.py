"""A stage with a mesh of its own: `tsunagu up` in a temporary home, and the command line to look at it.

The one rule: a lesson does to the mesh only what its readers can do, by commands that they see.
"""

from __future__ import annotations

import shlex
import sys
from contextlib import chdir, contextmanager
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import grpc
from typer.testing import CliRunner

from tsunagu.cli.main import main
from tsunagu.lessons.ending import undisturbed
from tsunagu.lessons.shown import LessonFailed, Shown
from tsunagu.model import ids
from tsunagu.testing import Mesh, RequestRefused
from tsunagu.testing.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tsunagu.testing import Load, Plan
    from tsunagu.v1.inspector_pb2 import TimelineEvent

_INTERRUPTED = 130  # the exit code of a command that Ctrl-C has ended
_RESOURCES = """
clusters:
- {name: a, type: STATIC}
listeners:
- name: a
  filter_chains:
  - filters:
    - name: a
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
        stat_prefix: a
        cluster: a
"""
APPS = Path(__file__).with_name("apps")


class MeshStage:
    """A mesh that runs, with the manifests of the lesson in `folder`."""

    def __init__(self, mesh: Mesh, port: int) -> None:
        self.mesh = mesh
        self.folder = mesh.folder / "lesson"
        self.folder.mkdir()
        self._port = port
        for manifest in APPS.glob("*.yaml"):
            text = Template(manifest.read_text(encoding="utf-8")).substitute(
                apps=APPS, port=port, python=sys.executable
            )
            (self.folder / manifest.name).write_text(text, encoding="utf-8")

    @property
    def invites(self) -> str:
        """How one looks into the mesh meanwhile."""
        return f"export TSUNAGU_HOME={self.mesh.home.root}"

    def words(self) -> Mapping[str, str]:
        """The port of the front, and the tasks: `one` and `two` of orders in the order of their start, and `front`."""
        tasks = {"front": self.tasks("front")[:1], "orders": self.tasks("orders")}
        named = dict(zip(("one", "two", "three", "four"), tasks["orders"], strict=False))
        return {"port": str(self._port), **named, **({"front": tasks["front"][0]} if tasks["front"] else {})}

    def tasks(self, owner: str) -> list[str]:
        """The IDs of the tasks of a service, or of the gateway, that have not stopped; the oldest first."""
        return [ids.task_id(one) for one in self.mesh.tasks() if ids.task_id(one).rpartition("-")[0] == owner]

    def messages(self, after: int) -> Sequence[TimelineEvent]:
        """The timeline of the control plane that runs now; nothing while none does."""
        try:
            return self.mesh.timeline(after=after)
        except RequestRefused as error:
            if error.status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return []
            raise

    def run(self, command: str, expected: int) -> Sequence[Shown]:
        """One command of `tsunagu`, in the lesson's folder; in this process, for a new one takes as long to start as ten
        commands to run.
        """
        words = shlex.split(command)
        if words[0] != "tsunagu":
            raise LessonFailed(f"a mesh is led with tsunagu, not with {words[0]!r}")
        environment = {"TSUNAGU_HOME": str(self.mesh.home.root), "NO_COLOR": "1", "COLUMNS": "160"}
        with chdir(self.folder):
            done = CliRunner().invoke(main, words[1:], env=environment)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        if done.exit_code == _INTERRUPTED:
            raise KeyboardInterrupt
        if done.exit_code != expected:
            raise LessonFailed(f"{command}: ended with {done.exit_code}, not {expected}:\n{done.output}")
        return [Shown(f"$ {command}", done.output.rstrip("\n"))]

    def load(self, plan: Plan) -> Load:
        """Load on the published port."""
        return self.mesh.load("http://orders/", plan)


@contextmanager
def bare_mesh() -> Iterator[MeshStage]:
    """A mesh in which nothing runs yet; the manifests of the lessons are in its folder."""
    mesh = Mesh(stop_within=1.0)
    mesh.start()
    try:
        _read_resources()
        yield MeshStage(mesh, free_port())
    finally:
        with undisturbed():
            mesh.close()


def _read_resources() -> None:
    """Read a resource of each type: Envoy's messages take a second to import, which else would fall into a scene."""
    from tsunagu.serve.library.resource_files import resources_from  # noqa: PLC0415 - only once a mesh is there

    resources_from(_RESOURCES)


@contextmanager
def orders_mesh() -> Iterator[MeshStage]:
    """A mesh in which two copies of `orders` run, and `front`."""
    with _mesh_of("orders.yaml") as stage:
        yield stage


@contextmanager
def greeter_mesh() -> Iterator[MeshStage]:
    """A mesh in which two copies of `greeter` run, and `caller`, which calls them by gRPC."""
    with _mesh_of("greeter.yaml") as stage:
        yield stage


@contextmanager
def _mesh_of(manifest: str) -> Iterator[MeshStage]:
    with bare_mesh() as stage:
        stage.mesh.apply(stage.folder / manifest)
        stage.mesh.wait_steady()
        yield stage
