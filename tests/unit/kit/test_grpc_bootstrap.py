"""The bootstrap of gRPC's own clients, and the names that such clients have."""

import json

import pytest

from tsunagu.kit import grpc_bootstrap


def test_names_read_back():
    for client in ("billing", "default/web-12345678"):
        assert grpc_bootstrap.parse(grpc_bootstrap.client_name("shop", client)) == ("shop", client)


@pytest.mark.parametrize(
    "name", ["", "default/web-1", "grpc/web-1", "grpc/a/b/c/d", "grpc//x", "grpc/shop/", "ns/shop/x"]
)
def test_other_names_are_none_of_theirs(name):
    """A cluster may be called grpc: a task's name has two parts."""
    assert grpc_bootstrap.parse(name) is None


def test_the_file():
    text = grpc_bootstrap.render("grpc/shop/billing", "v1.token", "/home/xds.sock")
    assert json.loads(text) == {
        "xds_servers": [
            {
                "server_uri": "unix:/home/xds.sock",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {"id": "grpc/shop/billing", "cluster": "grpc", "metadata": {"tsunagu.token": "v1.token"}},
    }
