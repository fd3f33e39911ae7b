"""Streams with TLS behave as those without: both ways, each end by itself, and what is no end is an error."""

import asyncio
import socket
import ssl
import struct
import threading
import time
from contextlib import asynccontextmanager, contextmanager

import pytest

from tsunagu.ca import authority, requests
from tsunagu.model import identities
from tsunagu_node.dns.stream import Foreign, Way, connected
from tsunagu_node.identity import keys

ORDERS = str(identities.of_service("tsunagu.local", "shop", "default", "orders"))
HOST = str(identities.of_host("tsunagu.local", "shop", "n1"))
OURS, THEIRS = (authority.make("tsunagu.local", time.time()) for _ in range(2))
LONG = bytes(range(256)) * 16384  # 4 MiB: more than all buffers together


def context(folder, side, identity, signer=OURS, trusts=OURS):
    """A context for TLS 1.3 with a certificate for that ID."""
    made, now = keys.make(), time.time()
    answer = signer.sign(requests.key_of(made.request()), identities.parse(identity), now, 600.0).told("default")
    file = folder / f"{answer.identity.serial}.pem"
    file.write_text(made.pem(answer, now))
    found = ssl.SSLContext(side)
    found.check_hostname, found.verify_mode = False, ssl.CERT_REQUIRED
    found.load_verify_locations(cadata=trusts.told().certificate)
    found.load_cert_chain(file)
    return found


@contextmanager
def serving(handle, secured=None):
    """A server of one connection, which `handle` gets; with TLS after its handshake."""

    def serve():
        one, _ = listener.accept()
        with one:
            try:
                if secured:
                    one = secured.wrap_socket(one, server_side=True, suppress_ragged_eofs=False)
                with one:
                    handle(one)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        thread.join(60)


@asynccontextmanager
async def reached(way):
    async with asyncio.timeout(60):
        stream = await connected(way)
        try:
            yield stream
        finally:
            stream.close()


@pytest.fixture
def client(tmp_path):
    return context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, HOST)


@pytest.fixture
def server(tmp_path):
    return context(tmp_path, ssl.PROTOCOL_TLS_SERVER, ORDERS)


async def whole(stream):
    found = b""
    while piece := await stream.read():
        found += piece
    return found


def answer_at_the_end(one):
    """Take everything until the other side ends, then send it back, and end."""
    found = b""
    while piece := one.recv(65536):
        found += piece
    one.sendall(found)
    if isinstance(one, ssl.SSLSocket):
        one.unwrap()


@pytest.mark.parametrize("secured", [False, True], ids=["plaintext", "TLS"])
async def test_the_end_of_one_direction_leaves_the_other_open(secured, client, server):
    with serving(answer_at_the_end, server if secured else None) as target:
        async with reached(Way(target, client if secured else None, ORDERS)) as stream:
            await stream.write(LONG)
            await stream.end()
            assert await whole(stream) == LONG
            assert await stream.read() == b"", "the end stays"


@pytest.mark.parametrize("secured", [False, True], ids=["plaintext", "TLS"])
async def test_a_server_that_ends_first_still_hears_us(secured, client, server):
    heard = []

    def end_first(one):
        one.sendall(b"220 ready\n")
        if isinstance(one, ssl.SSLSocket):
            one.settimeout(0)
            with pytest.raises(ssl.SSLWantReadError):
                one.unwrap()
            one.settimeout(60)
        else:
            one.shutdown(socket.SHUT_WR)
        heard.append(one.recv(10))

    with serving(end_first, server if secured else None) as target:
        async with reached(Way(target, client if secured else None, ORDERS)) as stream:
            assert await whole(stream) == b"220 ready\n"
            assert await stream.read() == b"", "the end stays"
            await stream.write(b"later")
            await stream.end()
    assert heard == [b"later"]


async def test_both_directions_at_once_do_not_wait_for_each_other(client, server):
    def echo(one):
        while piece := one.recv(65536):
            one.sendall(piece)
        one.unwrap()

    with serving(echo, server) as target:
        async with reached(Way(target, client, ORDERS)) as stream, asyncio.TaskGroup() as group:
            reading = group.create_task(whole(stream))
            for at in range(0, len(LONG), 50_000):
                await stream.write(LONG[at : at + 50_000])
            await stream.end()
            assert await reading == LONG


async def test_a_server_that_speaks_first_is_heard_at_once(client, server):
    with serving(lambda one: (one.sendall(b"220 ready\n"), one.recv(1)), server) as target:
        async with reached(Way(target, client, ORDERS)) as stream:
            assert await stream.read() == b"220 ready\n"


async def test_a_server_that_is_somebody_else_gets_not_a_byte(client, tmp_path):
    seen = []
    other = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, ORDERS + "-2")
    refused = pytest.raises(Foreign, match=r"the server is spiffe://.*/orders-2, and not spiffe://.*/orders")
    with serving(lambda one: seen.append(one.recv(10)), other) as target, refused:
        await connected(Way(target, client, ORDERS))
    assert seen in ([], [b""])


async def test_a_server_of_an_authority_that_we_do_not_trust_is_refused(client, tmp_path):
    other = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, ORDERS, signer=THEIRS)
    with serving(lambda one: one.recv(10), other) as target, pytest.raises(ssl.SSLCertVerificationError):
        await connected(Way(target, client, ORDERS))


async def test_a_server_that_refuses_us_is_an_error(client, tmp_path):
    other = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, ORDERS, trusts=THEIRS)
    with serving(lambda one: one.recv(10), other) as target:
        async with reached(Way(target, client, ORDERS)) as stream:
            with pytest.raises(OSError, match=r"alert|reset|EOF"):
                await stream.read()


async def test_a_server_of_plaintext_is_an_error(client):
    def refuse(one):
        one.recv(10)
        one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(refuse) as target, pytest.raises(ssl.SSLError):
        await connected(Way(target, client, ORDERS))


async def test_an_end_without_close_notify_is_no_end(client, server):
    def cut(one):
        one.sendall(b"half of it")
        socket.socket(fileno=one.detach()).close()  # without a word of TLS

    with serving(cut, server) as target:
        async with reached(Way(target, client, ORDERS)) as stream:
            assert await stream.read() == b"half of it"
            with pytest.raises(OSError, match="EOF"):
                await stream.read()


@pytest.mark.parametrize("secured", [False, True], ids=["plaintext", "TLS"])
async def test_a_reset_is_an_error_in_both_directions(secured, client, server):
    def reset(one):
        one.recv(2)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket(fileno=one.detach()).close()

    with serving(reset, server if secured else None) as target:
        async with reached(Way(target, client if secured else None, ORDERS)) as stream:
            await stream.write(b"go")
            with pytest.raises(ConnectionResetError):
                await stream.read()

    ended = []

    def wait_for_it(one):
        one.recv(2)
        one.sendall(b"!")
        try:
            ended.append(one.recv(1))
        except OSError as error:
            ended.append(type(error))

    with serving(wait_for_it, server if secured else None) as target:
        async with reached(Way(target, client if secured else None, ORDERS)) as stream:
            await stream.write(b"go")
            await stream.read()
            stream.reset()
    assert ended in ([ConnectionResetError], [ssl.SSLEOFError]), "as Python's ssl calls a reset"
