"""What the outer process cannot do is an answer, and never its end."""

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from tsunagu_node.runtime.contract import PortTaken
from tsunagu_node.runtime.linux import host_helper, processes
from tsunagu_node.runtime.linux.host_client import HostClient


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


async def asked(ends, host, port=0):
    """The listener, with one answer of the other end."""
    ours, theirs = ends

    def answer():
        try:
            return host_helper.answer(theirs, 1, 1, None)
        finally:
            theirs.shutdown(socket.SHUT_RDWR)

    answering = asyncio.create_task(asyncio.to_thread(answer), name="answer")
    try:
        return await HostClient(ours).listen(host, port)
    finally:
        assert await answering


async def test_a_listening_socket_is_handed_over(ends):
    with await asked(ends, "127.0.0.1") as listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EMFILE])
async def test_a_socket_that_the_machine_does_not_give_is_said(ends, monkeypatch, number):
    """As without IPv6, or without a free file descriptor."""
    real = socket.socket

    def refused(family=-1, *more, **named):
        if family == socket.AF_INET6:
            raise OSError(number, os.strerror(number))
        return real(family, *more, **named)

    monkeypatch.setattr(host_helper.socket, "socket", refused)
    with pytest.raises(PortTaken, match=os.strerror(number)):
        await asked(ends, "::1")


def test_a_sandbox_that_cannot_be_joined_is_exit_code_2_with_the_reason(tmp_path):
    """A record that names living processes of no other namespaces: the kernel lets nobody join what he is in."""
    me = {"pid": os.getpid(), "begun": processes.begun(os.getpid())}
    (tmp_path / "sandbox.json").write_text(json.dumps({"first": me, "janitor": me}))
    command = [sys.executable, "-m", "tsunagu_node", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("tsunagu node: cannot start")
    assert "setns: Invalid argument" in done.stderr


async def connected_to(ends, port):
    """The socket that the client makes of one answer of the other end."""
    ours, theirs = ends
    answering = asyncio.create_task(asyncio.to_thread(host_helper.answer, theirs, 1, 1, None), name="answer")
    try:
        return await HostClient(ours).connect("127.0.0.1", port)
    finally:
        assert await answering


async def test_a_connected_socket_is_handed_over(ends):
    with socket.create_server(("127.0.0.1", 0)) as server, await connected_to(ends, server.getsockname()[1]) as client:
        accepted, peer = server.accept()
        with accepted:
            assert peer == client.getsockname()


async def test_a_port_where_nobody_listens_is_refused(ends):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await connected_to(ends, port)
