"""One `tsunagu up` as a child process: started in a home of its own, ended whatever happens, proven to be gone.

Rule: the child is tied to this process by a pipe (see `tether`), so a test run that is killed leaves no mesh behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tsunagu.kit import tether
from tsunagu.model import envfile
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests.formats import Source
from tsunagu.settings import Home
from tsunagu.testing import leaks, processes
from tsunagu.testing.containers import Containers

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable, Mapping, Sequence

    from tsunagu.testing.processes import Process, Processes
    from tsunagu.v1.objects_pb2 import Object

_FIRST = "kind: Cluster\nclusterName: default\n"
_COMMAND = ("-P", "-m", "tsunagu.cli", "up", "--no-logs")  # a failed test shows what containers wrote, once
_END_SECONDS = 30.0
_POLL = 0.02
_NO_CONTAINERS = frozenset({"envoy", "relay"})
_MOST_CONTAINERS = 12


class Running:
    """A mesh's processes. `options` go to `tsunagu up`; `environment` is added to this process's own."""

    def __init__(self, options: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        # Short: a Unix socket's path may have 107 bytes, and the tasks' sockets are deep inside.
        self.folder = Path(tempfile.mkdtemp(prefix="tsunagu-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108
        self.home = Home(self.folder / "m")
        self._options = options
        self._environment = environment or {}
        self._tether: subprocess.Popen[bytes] | None = None
        self._held = -1
        self._containers: Containers | None = None
        self._seen: set[Process] = set()
        self._namespaces: set[str] = set()
        self._looked = 0  # when the namespaces were those of `_namespaces`

    def start(self, manifests: Sequence[Path], secrets: Mapping[str, str]) -> None:
        """Starts the processes; returns at once. Raises ValueError for a secret that cannot be passed on."""
        first, values = self.folder / "first.yaml", self.folder / "secrets.env"
        first.write_text(_FIRST)
        command = [sys.executable, *_COMMAND, "--home", str(self.home.root), *self._options]
        if secrets:
            values.touch(mode=0o600)
            values.write_text(env_file(secrets), encoding="utf-8")
            command += ["--env-file", str(values)]
        command += [str(path) for path in (manifests or (first,))]
        release, self._held = os.pipe()
        try:
            with self.output.open("ab") as output:
                self._tether = subprocess.Popen(
                    [sys.executable, "-I", "-S", tether.__file__, str(release), str(_END_SECONDS), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, "NO_COLOR": "1", **self._environment},
                    pass_fds=(release,),
                    start_new_session=True,
                )
        finally:
            os.close(release)

    @property
    def output(self) -> Path:
        """What `tsunagu up` itself has written."""
        return self.folder / "up.out"

    @property
    def ended(self) -> int | None:
        """The exit code of `tsunagu up`; None while it runs (or was not started)."""
        return self._tether.poll() if self._tether else None

    def processes(self) -> Processes:
        """Those that are there now; each that was ever seen is looked for again at the end."""
        found = processes.of_home(self.home.root)
        self._seen.update(found.everything)
        if found.everything:
            self._looked = leaks.ticks()
            self._namespaces = leaks.network_namespaces({process.pid for process in found.everything})
        return found

    def learn(self, nodes: Iterable[Object]) -> None:
        """Take note of the mesh's nodes: one of the docker runtime has containers, which are killed and looked for in its engine."""
        if self._containers is None and any(obj.node.runtime == "docker" for obj in nodes):
            self._containers = Containers(self.home.root, self._environment)

    def kill(self, kind: str, task: str, number: signal.Signals) -> None:
        """Sends a signal to a process of the mesh, or of a task (its ID). Raises LookupError when there is none."""
        if not task or self._containers is None or not self._containers.kill(kind, task, number):
            self.processes().named(f"{kind}:{task}" if task else kind).kill(number)

    def end(self) -> int:
        """Asks `tsunagu up` to end, and waits; its exit code."""
        if self._tether is None:
            return 0
        self.processes()
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
        return self._tether.wait(_END_SECONDS + 5)

    def left_behind(self, timeout: float) -> list[str]:
        """Descriptions of what is left of the mesh `timeout` seconds after its end; kills the processes among it."""
        deadline = time.monotonic() + timeout
        while left := self._left():
            if time.monotonic() > deadline:
                for process in processes.survivors(self._seen):
                    process.kill()
                return left
            time.sleep(_POLL)
        return []

    def _left(self) -> list[str]:
        containers = self._containers.left_behind() if self._containers else []
        return [*leaks.left_behind(self.home.root, self._seen, self._namespaces, self._looked), *containers]

    def abandon(self, timeout: float) -> None:
        """End a mesh that failed to start, and delete its folder, which holds the values of its secrets."""
        try:
            self.end()
            self.left_behind(timeout)
        finally:
            self.remove()

    def remove(self) -> None:
        """Delete the folder with its logs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def last_words(self, count: int = 15) -> str:
        """The ends of the logs, for a message: those of the containers, the latest last, then those of the mesh itself."""
        containers = sorted(self.home.root.glob("**/log/*.log"), key=_changed)
        own = self.home.root / "log"
        files = [file for file in containers if file.parent != own and file.stem not in _NO_CONTAINERS]
        files = [*files[-_MOST_CONTAINERS:], self.output, *sorted(own.glob("*"))]
        return "\n".join(part for file in files if (part := _tail(file, count)))


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def env_file(secrets: Mapping[str, str]) -> str:
    """The text from which `up --env-file` reads these values. Raises ValueError where it would read others."""
    lines = {name: f'{name}="{value}"\n' for name, value in secrets.items()}  # one pair of quotes is taken off
    for name, line in lines.items():
        if not _reads(line, name, secrets[name]):
            raise ValueError(
                f"the secret {name!r} cannot be given to a mesh: an env file holds one NAME=VALUE a line, so the value "
                "may have no line break, and the name neither that nor '=' nor spaces around it"
            )
    return "".join(lines.values())


def _reads(line: str, name: str, value: str) -> bool:
    try:
        return envfile.read_env(Source("secrets.env", line)) == {name: value}
    except ManifestError:
        return False


def _tail(file: Path, count: int) -> str:
    try:
        lines = file.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return ""
    return "\n".join([f"--- {file}", *lines]) if lines else ""
