"""`python -m benchmarks.hostile.attacker`: clients of xds.sock that mean harm, in a process of their own.

Rule: it uses what any client has, a socket and perhaps a token, and says what became of its attempts; whether that is
good or bad is for the harness to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections import Counter
from typing import Any

import grpc.aio

from benchmarks.xds.steered import steer
from tsunagu.v1 import discovery_pb2
from tsunagu.xds.resources import EDS

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
OWN_CONNECTION = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)
PATIENCE = 20.0  # s; for the server to say something
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # and empty SETTINGS


class Attacker:
    """What it holds open from one command to the next."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._churn: asyncio.Task[dict[str, Any]] | None = None
        self._ends: Counter[str] = Counter()  # how streams of the churn have ended
        self._made = 0  # its requests

    async def requests(self, command: dict[str, Any]) -> dict[str, Any]:
        """`count` streams at once, each with one request that asks for one name of `bytes`."""
        request = discovery_pb2.DeltaDiscoveryRequest(
            node=discovery_pb2.Node(id=command["node"]),
            type_url=EDS,
            resource_names_subscribe=["x" * command["bytes"]],
        ).SerializeToString()
        begun = time.monotonic()
        ends = await asyncio.gather(*[self._request(command, request) for _ in range(command["count"])])
        return {"ends": dict(Counter(ends)), "seconds": time.monotonic() - begun}

    async def connect(self, command: dict[str, Any]) -> dict[str, Any]:
        """`count` connections that open no stream; half of them do not even speak HTTP/2."""
        failed = 0
        for number in range(command["count"]):
            one = socket.socket(socket.AF_UNIX)
            one.settimeout(1.0)
            try:
                one.connect(command["path"])
                if number % 2:
                    one.sendall(PREFACE)
                one.setblocking(False)
                self._sockets.append(one)
            except OSError:
                failed += 1
                one.close()
        return {"connected": len(self._sockets), "failed": failed}

    async def open(self, _command: dict[str, Any]) -> dict[str, Any]:
        """How many of these connections the server has not closed."""
        return {"open": sum(map(_is_open, self._sockets))}

    async def disconnect(self, _command: dict[str, Any]) -> dict[str, Any]:
        for one in self._sockets:
            one.close()
        self._sockets.clear()
        return {}

    async def churn(self, command: dict[str, Any]) -> dict[str, Any]:
        """Begin: `streams` that each ask for `names` new names every `every` seconds, and come back when they are ended."""
        self._churn = asyncio.create_task(self._churning(command), name="churn")
        return {}

    async def churned(self, _command: dict[str, Any]) -> dict[str, Any]:
        """The end of it: requests made, and how the streams ended."""
        assert self._churn is not None, "churned follows churn"
        result = await self._churn
        self._churn = None
        return result

    async def _request(self, command: dict[str, Any], request: bytes) -> str:
        async with grpc.aio.insecure_channel(f"unix:{command['path']}", options=OWN_CONNECTION) as channel:
            call = channel.stream_stream(METHOD + "DeltaAggregatedResources")(metadata=_metadata(command))
            try:
                async with asyncio.timeout(PATIENCE):
                    await call.write(request)
                    if await call.read() is not grpc.aio.EOF:
                        return "answered"
                    return (await call.code()).name
            except grpc.aio.AioRpcError as error:
                return error.code().name
            except (TimeoutError, asyncio.InvalidStateError):
                return "TIMEOUT"

    async def _churning(self, command: dict[str, Any]) -> dict[str, Any]:
        self._ends, self._made = Counter(), 0
        over = time.monotonic() + command["seconds"]
        await asyncio.gather(*[self._asking(command, over) for _ in range(command["streams"])])
        return {"requests": self._made, "ends": dict(self._ends)}

    async def _asking(self, command: dict[str, Any], over: float) -> None:
        while time.monotonic() < over:
            async with grpc.aio.insecure_channel(f"unix:{command['path']}", options=OWN_CONNECTION) as channel:
                call = channel.stream_stream(METHOD + "DeltaAggregatedResources")(metadata=_metadata(command))
                reader = asyncio.create_task(_acknowledge(call), name="acknowledge")
                try:
                    await self._ask(call, command, over)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    self._ends[(await call.code()).name] += 1
                    await asyncio.sleep(command["every"])
                finally:
                    reader.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await reader
                    call.cancel()

    async def _ask(self, call: Any, command: dict[str, Any], over: float) -> None:
        node: Any = discovery_pb2.Node(id=command["node"])
        while time.monotonic() < over:
            names = [f"{self._made}-{number}" for number in range(command["names"])]
            request = discovery_pb2.DeltaDiscoveryRequest(node=node, type_url=EDS, resource_names_subscribe=names)
            self._made += 1
            node = None
            async with asyncio.timeout(PATIENCE):
                await call.write(request.SerializeToString())
            await asyncio.sleep(command["every"])
            if call.done():
                raise asyncio.InvalidStateError


async def _acknowledge(call: Any) -> None:
    """ACK whatever comes, as a client that is not to be noticed."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while (data := await call.read()) is not grpc.aio.EOF:
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            ack = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
            await call.write(ack.SerializeToString())


def _metadata(command: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {command['token']}"),) if command.get("token") else ()


def _is_open(one: socket.socket) -> bool:
    try:
        while one.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


async def main() -> None:
    os.nice(19)  # what is measured is what the server does with it, not that both share two cores
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacker = Attacker()
    await steer(
        {
            "requests": attacker.requests,
            "connect": attacker.connect,
            "open": attacker.open,
            "disconnect": attacker.disconnect,
            "churn": attacker.churn,
            "churned": attacker.churned,
        }
    )
    os._exit(0)  # nothing is kept


if __name__ == "__main__":
    asyncio.run(main())
