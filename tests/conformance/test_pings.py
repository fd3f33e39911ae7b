"""Connections, frame by frame: pings as fast as no gRPC library sends them, a peer that is dumb, and a farewell."""

from __future__ import annotations

import asyncio
import struct

import pytest

from tsunagu.serve.api.server import ApiServer
from tsunagu.serve.xds.ads import AdsServer, Scope
from tsunagu.serve.xds.limits import Limits
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, Resource

DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
ACK, END_HEADERS = 1, 4
PINGS = 120
SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def header(name: str, value: str) -> bytes:
    """A literal that is put into no table (RFC 7541 6.2.2)."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


class SentAway(Exception):
    """GOAWAY, and its words."""


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def open(self, path: str) -> None:
        pairs = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",
                 "content-type": "application/grpc"}  # fmt: skip
        block = b"".join(header(name, value) for name, value in pairs.items())
        self.writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        self.writer.write(frame(HEADERS, END_HEADERS, 1, block))

    def send(self, message: bytes) -> None:
        self.writer.write(frame(DATA, 0, 1, b"\0" + struct.pack(">I", len(message)) + message))

    async def until(self, wanted: int, flags: int = 0) -> bytes:
        """The next frame of a kind that is not empty; fails when the server says that it ends."""
        while True:
            head = await self.reader.readexactly(9)
            kind, flag = head[3], head[4]
            body = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            if kind == GOAWAY:
                raise SentAway(body)
            if kind in (SETTINGS, PING) and not flag & ACK:
                self.writer.write(frame(kind, ACK, 0, body if kind == PING else b""))
            if kind == wanted and flag & flags == flags and body:
                return body


@pytest.mark.case(116)
@pytest.mark.pitfall("P24")
@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_pings_on_an_idle_stream_are_borne(variant):
    server = AdsServer(authenticate=lambda _, node: Scope(node.id, ("b",)), identifier="x", timeline=Timeline())
    port = await server.start("127.0.0.1:0")
    server.mark_synced()
    kind = discovery_pb2.DeltaDiscoveryRequest if variant == "delta" else discovery_pb2.DiscoveryRequest
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    async with asyncio.timeout(60):
        connection.open(SERVICE + ("DeltaAggregatedResources" if variant == "delta" else "StreamAggregatedResources"))
        connection.send(kind(type_url=CDS, node=discovery_pb2.Node(id="p")).SerializeToString())
        await connection.until(DATA)
        for number in range(PINGS):
            connection.writer.write(frame(PING, 0, 0, struct.pack(">Q", number)))
            assert await connection.until(PING, ACK) == struct.pack(">Q", number)
        nonce = server.timeline.events()[-1].nonce
        connection.send(kind(type_url=CDS, response_nonce=nonce).SerializeToString())
        body = wire.text(1, "afterwards")
        server.publish([BundleUpdate("b", (Resource.of(CDS, "afterwards", body),))], 1, "after the pings")
        assert b"afterwards" in await connection.until(DATA)
    connection.writer.close()
    await server.stop(0)


@pytest.mark.pitfall("P24")
async def test_pings_on_a_quiet_watch_of_the_api_are_borne(tmp_path):
    api = ApiServer(tmp_path / "api.sock")
    await api.start()
    connection = Connection(*await asyncio.open_unix_connection(tmp_path / "api.sock"))
    async with asyncio.timeout(60):
        connection.open("/grpc.health.v1.Health/Watch")
        connection.send(b"")
        await connection.until(DATA)
        for number in range(PINGS):
            connection.writer.write(frame(PING, 0, 0, struct.pack(">Q", number)))
            assert await connection.until(PING, ACK) == struct.pack(">Q", number)
    connection.writer.close()
    await api.stop(0)


@pytest.mark.case(107)
@pytest.mark.pitfall("P24")
async def test_half_a_connection_is_found_out():
    """Who answers no ping is not there any more, though its socket is open; its stream goes with it."""
    server, connection = await connected(Limits(keepalive=0.2, keepalive_timeout=0.2))
    async with asyncio.timeout(60):
        await connection.until(DATA)
        async for event in server.timeline.follow():  # nobody reads the socket, so nobody answers
            if event.kind == "close":
                break
    assert server.proxies() == []
    connection.writer.close()
    await server.stop(0)


@pytest.mark.case(106)
async def test_a_stop_says_farewell_to_the_connection(monkeypatch):
    server, connection = await connected()
    async with asyncio.timeout(60):
        await connection.until(DATA)
        stopping = asyncio.create_task(server.stop(10), name="stop")
        with pytest.raises(SentAway):
            await connection.until(DATA)
        connection.writer.close()
        await stopping


async def connected(limits: Limits | None = None) -> tuple[AdsServer, Connection]:
    server = AdsServer(
        authenticate=lambda _, node: Scope(node.id, ("b",)), identifier="x", timeline=Timeline(), limits=limits
    )
    port = await server.start("127.0.0.1:0")
    server.mark_synced()
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    connection.open(SERVICE + "DeltaAggregatedResources")
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=CDS, node=discovery_pb2.Node(id="p"))
    connection.send(request.SerializeToString())
    return server, connection
