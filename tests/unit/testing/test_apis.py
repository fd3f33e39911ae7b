from concurrent import futures

import grpc
import pytest

from tsunagu.model import ids
from tsunagu.testing.apis import Apis
from tsunagu.v1 import objects_pb2, registry_pb2, registry_pb2_grpc

NODES = [ids.make("Node", f"n{number}", objects_pb2.Node()) for number in range(5)]


class Paged(registry_pb2_grpc.RegistryServicer):
    """Two objects a page; the token is where the next one begins."""

    def List(self, request, context):
        begin = int(request.page_token or 0)
        more = begin + 2 < len(NODES)
        return registry_pb2.ListResponse(
            objects=NODES[begin : begin + 2], next_page_token=str(begin + 2) if more else "", revision=1
        )


@pytest.fixture
def apis(tmp_path):
    server = grpc.server(futures.ThreadPoolExecutor(1))
    registry_pb2_grpc.add_RegistryServicer_to_server(Paged(), server)
    server.add_insecure_port(f"unix:{tmp_path}/api.sock")
    server.start()
    made = Apis(tmp_path / "api.sock")
    yield made
    made.close()
    server.stop(None).wait()


def test_every_page_of_a_list_is_read(apis):
    assert apis.objects("Node") == NODES
