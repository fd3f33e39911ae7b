"""The library at its edges: resources that lapse, sockets of the file system."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster

from tsunagu.serve.library import xds_server
from tsunagu.serve.library.xds_server import CDS, XdsServer
from tsunagu.testing.fake_proxy import FakeProxy
from tsunagu.v1.endpoint_pb2 import ClusterLoadAssignment


def plain(name):
    """A cluster that refers to nothing."""
    return Cluster(name=name)


async def test_what_lapses_is_put_with_its_time_and_refused_as_a_whole_where_it_cannot():
    server = XdsServer()
    server.put(plain("fault"), ttl=30)
    assert server.get(CDS, "fault").ttl == 30
    with pytest.raises(xds_server.BadTtl, match="EDS resources have no time to live"):
        server.put(plain("other"), ClusterLoadAssignment(cluster_name="fault"), ttl=30)
    assert server.get(CDS, "other") is None

    server.put(plain("fault"))
    assert server.get(CDS, "fault").ttl is None
    server.put(server.get(CDS, "fault"), ttl=5)
    assert server.get(CDS, "fault").ttl == 5


async def test_a_unix_socket_may_be_near_and_is_for_its_user_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = XdsServer()
    await server.start("unix:xds.sock")
    try:
        assert Path("xds.sock").stat().st_mode & 0o022 == 0  # to connect is to write
        async with FakeProxy(f"unix:{tmp_path}/xds.sock", node="p") as proxy:
            await proxy.subscribe("CDS")
            await proxy.receive()
    finally:
        await server.stop(0.2)
