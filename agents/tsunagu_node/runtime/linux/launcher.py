"""The linux runtime's outer process, outside of the sandbox.

Rule: it makes or finds the sandbox, starts the agent's main inside, and does for it what can only be done outside. It is
one thread and never joins a namespace itself.
"""

import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from tsunagu.kit.heartbeat import VARIABLE as HEARTBEATS
from tsunagu_node.outside.relay.starting import OutsideProcess
from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.life import life_pipe
from tsunagu_node.runtime.linux import host_helper, processes, sandbox, sweep
from tsunagu_node.runtime.linux.init import syscalls


def launch(folders: Folders, agent: Sequence[str]) -> int:
    """Run `agent` in the node's sandbox until it or the mesh ends; return its exit code.

    Its last argument is the file descriptor of its channel to here (`host_helper`). Raises RuntimeUnavailable.
    """
    life = life_pipe(os.environ)
    box = sandbox.find(folders.node) or sandbox.create(folders, life)
    outside = OutsideProcess(folders, life)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = sandbox.spawn(box, [*agent, str(theirs.fileno())], (theirs.fileno(),))
    theirs.close()
    me = os.getpid()
    record = folders.node / sweep.AGENT
    record.write_text(json.dumps({"pid": me, "begun": processes.begun(me)}))
    try:
        return attend(pid, Attended(box, ours, life, outside))
    finally:
        record.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Attended:
    """What is attended to beside the agent: its sandbox, its channel to here, the mesh's life, and the relay to places outside."""

    box: sandbox.Sandbox
    channel: socket.socket
    life: int
    outside: OutsideProcess


def attend(agent: int, what: Attended) -> int:
    """Attend to the process `agent` until it or the mesh ends; return its exit code."""
    box, channel, life, outside = what.box, what.channel, what.life, what.outside
    supervisor = _supervisor()
    wakeup, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    gone = os.pidfd_open(agent)
    sources = [channel.fileno(), gone, life, wakeup]
    while True:
        ready, _, _ = select.select([*sources, outside.ended], [], [])
        if life in ready:
            # First the agent, our child: while it is not reaped, the kernel does not let its namespace's PID 1 go.
            os.kill(agent, signal.SIGKILL)
            _exit_code(agent)
            processes.kill(box.first, box.first_begun, 1.0)
            return 0
        if gone in ready:
            return _exit_code(agent)
        if outside.ended in ready:
            outside.again()
        if wakeup in ready:
            _forward(os.read(wakeup, 64), agent)
        if channel.fileno() in ready and not host_helper.answer(channel, box.first, agent, supervisor):
            sources.remove(channel.fileno())


def _forward(signals: bytes, agent: int) -> None:
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, number)


def _exit_code(agent: int) -> int:
    _, status = os.waitpid(agent, 0)
    return syscalls.exit_code(status)


def _supervisor() -> int | None:
    """Return the file descriptor for heartbeats; None when nobody waits for any."""
    text = os.environ.get(HEARTBEATS)
    if text is None:
        return None
    try:
        os.set_inheritable(int(text), False)
    except (ValueError, OSError) as error:
        raise RuntimeUnavailable(f"{HEARTBEATS}={text} is not the number of an open file descriptor") from error
    return int(text)
