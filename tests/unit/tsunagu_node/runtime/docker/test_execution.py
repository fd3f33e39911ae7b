"""How a command in a container starts, as an engine tells of it: what it says first, and what is told of that."""

import asyncio
import socket

import pytest

from tsunagu_node.runtime.contract import CannotStart, Exec, Process
from tsunagu_node.runtime.docker.execution import Execution

BEFORE = {"Running": False, "Pid": 0, "ExitCode": None}  # the connection is there, and the engine has not begun
BEGINS = {"Running": True, "Pid": 0, "ExitCode": None}
RUNS = {"Running": True, "Pid": 7, "ExitCode": None}
ENDED = {"Running": False, "Pid": 0, "ExitCode": 0}
NONE = {"Running": False, "Pid": 0, "ExitCode": 127}
OCI = b'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown'


class ScriptedEngine:
    """An engine whose command is in one of `states` each time that it is asked for it, at last in the last one."""

    def __init__(self, *states, words=b""):
        self._states = list(states)
        self._words = words

    async def call(self, _method, path, _query=None, _body=None):
        if path.endswith("/json"):
            return self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return {"Id": "e1"}

    async def upgrade(self, _path, _body):
        ours, self.theirs = socket.socketpair()
        if self._words:  # in a frame of stderr, as if the command had written them
            self.theirs.sendall(b"\x02\0\0\0" + len(self._words).to_bytes(4) + self._words)
        return b"", await asyncio.open_connection(sock=ours)


async def started(*states, words=b""):
    engine = ScriptedEngine(*states, words=words)
    execution = Execution(engine, "c1", Process("app#1", Exec("app", ["cat"])), Exec("app", ["cat"]))
    try:
        async with asyncio.timeout(10):
            await execution.start()
    finally:
        execution.release()
        engine.theirs.close()


@pytest.mark.parametrize(
    "states",
    [(RUNS,), (BEGINS, RUNS), (BEFORE, RUNS), (BEFORE, BEFORE, BEGINS, RUNS), (ENDED,), (BEFORE, ENDED)],
    ids=lambda states: f"{len(states)} answers",
)
async def test_a_command_that_waits_for_its_input_has_started_though_it_writes_nothing(states):
    await started(*states)


@pytest.mark.parametrize("states", [(NONE,), (BEFORE, NONE)], ids=["at once", "after it had not begun"])
async def test_a_command_that_is_not_there_cannot_start(states):
    with pytest.raises(CannotStart, match="nosuch"):
        await started(*states, words=OCI)


async def test_a_command_that_ends_with_the_same_code_has_started():
    await started(BEFORE, NONE, words=b"sh: nosuch: not found")
