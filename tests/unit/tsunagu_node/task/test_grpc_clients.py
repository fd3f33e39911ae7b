"""What a task's programs find to be gRPC's own clients of the mesh."""

import json
import stat

import pytest

from tsunagu.kit import tokens
from tsunagu.v1 import objects_pb2
from tsunagu_node.task import grpc_clients
from tsunagu_node.task.spec import TaskSpec

KEY = b"k" * 32


def spec(*, connect=True, gateway=""):
    spec = objects_pb2.TaskSpec(cluster="default", namespace="shop", gateway=gateway)
    revision = objects_pb2.ServiceRevision(namespace="shop", connect=connect)
    return TaskSpec("default/web-1", objects_pb2.Task(spec=spec), revision)


def test_the_file_is_the_tasks_alone_and_proves_its_clients(tmp_path):
    grpc_clients.write(spec(), tmp_path, KEY, tmp_path / "xds.sock")
    path = tmp_path / "grpc-bootstrap.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = json.loads(path.read_text())
    assert found["xds_servers"][0]["server_uri"] == f"unix:{tmp_path}/xds.sock"
    assert tokens.verify(KEY, found["node"]["metadata"]["tsunagu.token"]) == "grpc/shop/default/web-1"
    assert grpc_clients.environment(spec(), tmp_path) == {"GRPC_XDS_BOOTSTRAP": str(path)}


@pytest.mark.parametrize("task", [spec(connect=False), spec(connect=False, gateway="front")], ids=["plain", "gateway"])
def test_who_has_no_proxy_or_no_programs_has_none(tmp_path, task):
    grpc_clients.write(task, tmp_path, KEY, tmp_path / "xds.sock")
    assert list(tmp_path.iterdir()) == []
    assert grpc_clients.environment(task, tmp_path) == {}
