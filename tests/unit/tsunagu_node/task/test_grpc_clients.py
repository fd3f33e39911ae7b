"""What a task's programs find to be gRPC's own clients of the mesh."""

import json
from pathlib import Path

import pytest

from tsunagu.kit import tokens
from tsunagu.v1 import objects_pb2
from tsunagu_node.task import grpc_clients
from tsunagu_node.task.spec import TaskSpec

KEY = b"k" * 32


class Task:
    """Keeps its configuration files in memory."""

    def __init__(self):
        self.files = {}

    def config_path(self, name):
        return f"/tasks/web-1/{name}"

    def write_config(self, name, text):
        self.files[name] = text


def spec(*, connect=True, gateway=""):
    spec = objects_pb2.TaskSpec(cluster="default", namespace="shop", gateway=gateway)
    revision = objects_pb2.ServiceRevision(namespace="shop", connect=connect)
    return TaskSpec("default/web-1", objects_pb2.Task(spec=spec), revision)


def test_the_file_is_written_into_the_task_and_proves_its_clients():
    task = Task()
    grpc_clients.write(spec(), task, KEY, Path("/mesh/xds.sock"))
    found = json.loads(task.files["grpc-bootstrap.json"])
    assert found["xds_servers"][0]["server_uri"] == "unix:/mesh/xds.sock"
    assert tokens.verify(KEY, found["node"]["metadata"]["tsunagu.token"]) == "grpc/shop/default/web-1"
    assert grpc_clients.environment(spec(), task) == {"GRPC_XDS_BOOTSTRAP": "/tasks/web-1/grpc-bootstrap.json"}


@pytest.mark.parametrize("one", [spec(connect=False), spec(connect=False, gateway="front")], ids=["plain", "gateway"])
def test_who_has_no_proxy_or_no_programs_has_none(one):
    task = Task()
    grpc_clients.write(one, task, KEY, Path("/mesh/xds.sock"))
    assert task.files == {}
    assert grpc_clients.environment(one, task) == {}
