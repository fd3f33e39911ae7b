"""The relay as a process, without a namespace: `localhost` is in every hosts file."""

import json
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

from tsunagu_node.runtime.linux import processes


@pytest.fixture
def echo():
    """The port of a server that answers each piece in capitals, and with "bye" to the end of what a client says."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def answer(client):
    with client:
        while piece := client.recv(1000):
            client.sendall(piece.upper())
        client.sendall(b"bye")


@contextmanager
def relaying(alias, port):
    """The process, and the address of the port that it relays."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(processes.python("tsunagu_node.runtime.linux.init.relay"), stdin=theirs.fileno())
        theirs.close()
        socket.send_fds(ours, [json.dumps([[alias, port]]).encode()], [listener.fileno()])
        address = listener.getsockname()
    try:
        yield process, address
    finally:
        process.kill()
        process.wait()


def connect(address):
    return socket.create_connection(address, 5)


def until_refused(address):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connect(address).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            continue  # came while the port was being closed
    raise TimeoutError(f"{address} is still open")


def test_bytes_go_both_ways_and_each_end_by_itself(echo):
    with relaying("localhost", echo) as (_, address), connect(address) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"HELLO"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"bye"
        assert client.recv(100) == b""


def test_sigterm_closes_the_port_and_lets_connections_go_on(echo):
    with relaying("localhost", echo) as (process, address):
        with connect(address) as client:
            client.sendall(b"one")
            assert client.recv(100) == b"ONE"
            process.send_signal(signal.SIGTERM)
            until_refused(address)
            client.sendall(b"two")
            assert client.recv(100) == b"TWO"
        assert process.wait(60) == 0


def test_a_name_that_is_not_there_ends_the_connection(echo):
    with relaying("nowhere.invalid", echo) as (_, address), connect(address) as client:
        assert client.recv(100) == b""


def test_without_anything_to_relay_it_ends():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(processes.python("tsunagu_node.runtime.linux.init.relay"), stdin=theirs.fileno())
    theirs.close()
    ours.close()
    assert process.wait(60) == 0
