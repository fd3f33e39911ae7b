"""`tsunagu grpc-bootstrap`: whose services, where the token goes, what it is good for."""

import json
import stat

import pytest

from tsunagu.cli.commands.grpc_bootstrap import targets
from tsunagu.kit import tokens
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.v1 import inspector_pb2, objects_pb2

GRPC = o.port("rpc", app_protocol="grpc", aliases=[("greeter", 50051), ("greeter.shop", 50051)])

INSIDE = (
    "tasks have addresses of 10.88.0.0/16, which only other tasks reach: run the program in one, where "
    "GRPC_XDS_BOOTSTRAP is set already"
)


@pytest.fixture
def mesh(server):
    """Two namespaces; in one of them a gRPC service."""
    server.home.root.joinpath("key").touch(0o600)
    server.home.key.write_bytes(b"k" * 32)
    node = ids.make("Node", "n1", objects_pb2.Node(runtime="linux", task_cidr="10.88.0.0/16"))
    for obj in (o.namespace(), o.revision("default/greeter/a1", GRPC), node):
        server.do(server.registry.put(obj))
    return server


def test_to_standard_output(tsunagu, mesh):
    done = tsunagu("grpc-bootstrap", "--home", mesh.home.root)
    found = json.loads(done.stdout)
    assert found["xds_servers"][0]["server_uri"] == f"unix:{mesh.home.xds_socket}"
    assert found["node"]["id"] == "grpc/shop/outside"
    assert tokens.verify(b"k" * 32, found["node"]["metadata"]["tsunagu.token"]) == "grpc/shop/outside"
    assert done.stderr.splitlines() == [
        "start the program with GRPC_XDS_BOOTSTRAP=FILE",
        "it can call xds:///greeter.shop:50051, xds:///greeter:50051",
        INSIDE,
    ]


def test_to_a_file_of_its_owner_alone(tsunagu, mesh, tmp_path):
    file = tmp_path / "bootstrap.json"
    file.touch(0o644)
    done = tsunagu("grpc-bootstrap", "billing", "--output", file, "--home", mesh.home.root)
    assert (done.exit_code, done.stdout) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["node"]["id"] == "grpc/shop/billing"
    assert "v1." not in done.stderr


def test_which_namespace(tsunagu, mesh):
    mesh.do(mesh.registry.put(o.namespace("blog")))
    several = tsunagu("grpc-bootstrap", "--home", mesh.home.root)
    assert several.exit_code == 2
    assert "say which: --namespace blog|shop" in several.stderr
    chosen = tsunagu("grpc-bootstrap", "--namespace", "bl", "--home", mesh.home.root)
    assert json.loads(chosen.stdout)["node"]["id"] == "grpc/blog/outside"
    assert "there is no http2 or grpc service to be called yet" in chosen.stderr
    unknown = tsunagu("grpc-bootstrap", "--namespace", "shpo", "--home", mesh.home.root)
    assert unknown.exit_code == 4
    assert 'did you mean "shop"?' in unknown.stderr


def test_a_name_has_no_slash(tsunagu, mesh):
    done = tsunagu("grpc-bootstrap", "default/web-1", "--home", mesh.home.root)
    assert (done.exit_code, "is no name of a program" in done.stderr) == (2, True)


def test_a_key_that_others_may_read_is_not_used(tsunagu, mesh):
    mesh.home.key.chmod(0o644)
    done = tsunagu("grpc-bootstrap", "--home", mesh.home.root)
    assert (done.exit_code, "others may read it" in done.stderr) == (1, True)


def test_only_what_speaks_http2_can_be_called():
    ports = [o.port(name, app_protocol=name, aliases=[(name, 80)]) for name in ("http", "http2", "grpc", "tcp")]
    assert targets("shop", [o.revision("default/a/1", *ports)]) == ["xds:///grpc:80", "xds:///http2:80"]
    assert targets("blog", [o.revision("default/a/1", *ports)]) == []


def test_grpc_clients_are_listed_and_have_no_envoy_to_be_compared_with(tsunagu, server):
    client = "grpc/shop/default/web-12345678#1"
    for name in ("default/web-12345678", client):
        server.inspector.proxies.append(inspector_pb2.Proxy(name=name, connected=True))
    listed = tsunagu("proxies", "web", "--home", server.home.root).stdout
    assert "web-12345678#1" in listed
    refused = tsunagu("proxies", "web-12345678#1", "--diff", "--home", server.home.root)
    assert (refused.exit_code, "is a gRPC client: it has no Envoy" in refused.stderr) == (2, True)
    meant = tsunagu("proxies", "web", "--diff", "--home", server.home.root)
    assert "can mean" not in meant.stderr
