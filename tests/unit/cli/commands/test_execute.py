"""What `exec` passes on of its standard input, and that it leaves it as it was."""

import os
import socket
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import pytest

from tsunagu.cli.commands import execute
from tsunagu.cli.errors import USAGE, CliError
from tsunagu.v1 import node_pb2

START = node_pb2.ExecStart(task="default/web-1", command=["cat"])


@contextmanager
def standard_input(descriptor: int) -> Iterator[None]:
    before = os.dup(0)
    os.dup2(descriptor, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


async def passed_on() -> bytes:
    requests = [request async for request in execute._requests(START)]
    assert requests[0].start == START
    assert requests[-1].stdin_eof
    return b"".join(request.stdin for request in requests[1:-1])


async def test_the_mode_of_standard_input_stays_the_callers():
    ours, theirs = socket.socketpair()
    with ours, theirs, standard_input(ours.fileno()):
        theirs.sendall(b"one")
        async with aclosing(execute._requests(START)) as requests:
            assert (await anext(requests)).start == START
            assert (await anext(requests)).stdin == b"one"
            assert os.get_blocking(ours.fileno())  # the caller's output, perhaps
            theirs.sendall(b"two")
            assert (await anext(requests)).stdin == b"two"
            theirs.shutdown(socket.SHUT_WR)
            assert (await anext(requests)).stdin_eof


async def test_a_pipe_is_passed_on_to_its_end():
    ours, theirs = os.pipe()
    os.write(theirs, b"x" * 60_000)
    os.close(theirs)
    with standard_input(ours):
        assert await passed_on() == b"x" * 60_000
    os.close(ours)


async def test_a_file_is_passed_on_to_its_end(tmp_path):
    (tmp_path / "in").write_bytes(b"y" * 200_000)
    with (tmp_path / "in").open("rb") as file, standard_input(file.fileno()):
        assert await passed_on() == b"y" * 200_000


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY])
async def test_nothing_is_passed_on_of_what_holds_nothing_or_cannot_be_read(flags):
    nothing = os.open(os.devnull, flags)
    with standard_input(nothing):
        assert await passed_on() == b""
    os.close(nothing)


@pytest.mark.parametrize(
    ("words", "program"), [(["ls", "-l"], ["ls", "-l"]), (["--", "ls"], ["ls"]), (["--", "--", "x"], ["--", "x"])]
)
def test_the_command_is_what_stands_behind_the_dashes(words, program):
    assert execute.wanted(words, "usage") == program


@pytest.mark.parametrize("words", [["--"], [""], ["--", ""], ["-c", "db", "--", "sh"]])
def test_no_command_is_an_error_of_the_command_line(words):
    with pytest.raises(CliError) as raised:
        execute.wanted(words, "usage")
    assert raised.value.code == USAGE
