"""A mesh is brought up when it is steady and every proxy has what it should have, however long that takes."""

import pytest

from tsunagu.cli.errors import NOT_CONVERGED, code_of
from tsunagu.cli.local.bring_up import bring_up
from tsunagu.cli.local.request import Request
from tsunagu.client import manifest_files
from tsunagu.client.connection import connected
from tsunagu.client.errors import NotConverged
from tsunagu.v1 import inspector_pb2
from tsunagu_node.runtime.choice import Choice

NACKED = [inspector_pb2.Unconverged(proxy="default/web-1", reason="CDS NACKed: no\n")]


@pytest.fixture
def wanted(tmp_path) -> Request:
    """What is steady without any controller."""
    path = tmp_path / "cluster.yaml"
    path.write_text("kind: Cluster\nclusterName: default\n")
    return Request(manifest_files.read_manifests([path]), {}, [], (Choice("linux", "a test wants it"),))


async def test_more_time_than_one_wait_may_take_is_asked_for_in_slices(server, wanted):
    server.inspector.lacking = [NACKED, NACKED]
    messages = []
    async with connected(server.home) as link:
        assert await bring_up(link, wanted, 900, messages.append) == "0 services, 0 tasks"
    assert len(server.inspector.waited) == 3
    assert [request.revision for request in server.inspector.waited] == [0, 7, 7]
    assert messages[1:] == ["not converged yet: web-1: CDS NACKed: no"]


async def test_for_ever_is_until_it_has_converged(server, wanted):
    server.inspector.lacking = [NACKED]
    messages = []
    async with connected(server.home) as link:
        await bring_up(link, wanted, None, messages.append)
    assert len(server.inspector.waited) == 2
    assert messages[1:] == ["not converged yet: web-1: CDS NACKed: no"]


async def test_steady_and_converged_have_one_deadline(server, wanted):
    server.inspector.missing = NACKED
    async with connected(server.home) as link:
        with pytest.raises(NotConverged, match=r"after 0.2 s: web-1: CDS NACKed: no") as caught:
            await bring_up(link, wanted, 0.2, lambda _: None)
    assert code_of(caught.value) == NOT_CONVERGED
    assert 0 < server.inspector.waited[0].timeout_seconds < 0.2
