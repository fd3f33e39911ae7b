"""The API's server for public tools: health, reflection, a call with nothing but reflection, its socket."""

import asyncio
import os
import stat

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tsunagu.model import ids
from tsunagu.serve.api.server import ApiServer
from tsunagu.serve.sockets import OwnedSocket, SocketInUseError, SocketPathError
from tsunagu.v1 import objects_pb2

REGISTRY = "tsunagu.v1.Registry"


async def health(served, service):
    stub = health_pb2_grpc.HealthStub(served.channel)
    response = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


async def test_health_says_whether_it_serves(serve):
    async with serve() as served:
        assert [await health(served, name) for name in ("", REGISTRY)] == ["SERVING", "SERVING"]
        await served.api.mark_serving(serving=False)
        assert await health(served, REGISTRY) == "NOT_SERVING"


def call_by_reflection(address, method, request):
    """What a generic tool does: asks which services there are, builds the messages, calls. Speaks JSON."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(database)
        service, name = method.split("/")
        assert service in database.get_services()
        found = pool.FindServiceByName(service).FindMethodByName(name)
        call = channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )
        message = json_format.ParseDict(request, GetMessageClass(found.input_type)(), descriptor_pool=pool)
        return json_format.MessageToDict(call(message, timeout=5))


async def test_a_tool_that_knows_nothing_can_call(serve):
    async with serve() as served:
        put = {"object": {"meta": {"name": "here"}, "node": {"taskCapacity": 7}}}
        assert await asyncio.to_thread(call_by_reflection, served.address, f"{REGISTRY}/Put", put) == {"revision": "1"}

        listed = await asyncio.to_thread(call_by_reflection, served.address, f"{REGISTRY}/List", {"kind": "Node"})
        assert listed["objects"][0]["node"] == {"taskCapacity": 7}


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_speaks_both_versions(serve, version):
    async with serve() as served:
        call = served.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="tsunagu.v1.Object"),
        ]
        listed, file = [response async for response in call(iter(requests))]
        names = {service.name for service in listed.list_services_response.service}
        assert {REGISTRY, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names
        assert file.file_descriptor_response.file_descriptor_proto


async def test_the_socket_is_its_owners_alone(serve, tmp_path):
    async with serve():
        assert stat.S_IMODE((tmp_path / "api.sock").stat().st_mode) == 0o600
    assert not (tmp_path / "api.sock").exists()


async def test_a_second_server_is_refused_and_harms_nothing(serve, tmp_path):
    async with serve() as served:
        with pytest.raises(SocketInUseError, match=f"process {os.getpid()}"):
            await ApiServer(tmp_path / "api.sock").start()
        assert await served.client.put(ids.make("Node", "here", objects_pb2.Node())) == 1


async def test_a_socket_that_nobody_serves_any_more_is_replaced(serve, tmp_path):
    (tmp_path / "api.sock").write_text("left by a killed server")

    async with serve() as served:
        assert await health(served, "") == "SERVING"


@pytest.mark.parametrize("length", [107, 108])
def test_a_path_may_be_as_long_as_the_kernel_takes(tmp_path, length):
    path = tmp_path / ("s" * (length - len(os.fsencode(tmp_path)) - 1))
    bound = []
    socket = OwnedSocket(path)
    if length > 107:
        with pytest.raises(SocketPathError, match="has 108 bytes; the path of a Unix socket may have 107"):
            socket.bind(bound.append)
        assert bound == []
    else:
        socket.bind(lambda address: bound.append(address) or path.touch())
        assert bound == [f"unix:{path}"]
        socket.release()


def test_a_missing_directory_is_said(tmp_path):
    with pytest.raises(SocketPathError, match="is not a directory"):
        OwnedSocket(tmp_path / "none" / "api.sock").bind(print)


def test_a_bind_that_fails_lets_go_of_the_path(tmp_path):
    def fail(address):
        raise RuntimeError(address)

    with pytest.raises(RuntimeError, match="unix:"):
        OwnedSocket(tmp_path / "api.sock").bind(fail)
    socket = OwnedSocket(tmp_path / "api.sock", 0o666)
    socket.bind(lambda address: (tmp_path / "api.sock").touch())
    assert stat.S_IMODE((tmp_path / "api.sock").stat().st_mode) == 0o666
    socket.release()
