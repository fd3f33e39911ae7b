"""Real Envoys on our xDS server: what the protocol's text leaves open, Envoy decides here."""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio

import pytest

from tests.e2e.xds_lab import (  # noqa: F401  # fixtures among them
    PATIENCE,
    assignment,
    backends,
    broken_listener,
    cluster,
    get,
    lab,
    listener,
    route,
    sockets,
)  # fmt: skip
from tsunagu.testing.ports import free_port
from tsunagu.xds import order
from tsunagu.xds.resources import CDS, EDS

pytestmark = pytest.mark.e2e


async def test_boots_and_serves(lab, backends):
    port = free_port()
    await lab.serve()
    lab.publish(cluster("x"), assignment("x", backends[0]), listener("l", port, route="r"), route("r", "x"))
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 1)

    assert await get(port) == b"200 x"
    state = lab.server.proxies()[0]
    assert (state.variant, state.version) == ({"GRPC": "sotw"}.get(lab.api_type, "delta"), "1.40.0")
    assert {kind.type: kind.state for kind in state.types} == dict.fromkeys(("CDS", "EDS", "LDS", "RDS"), "SYNCED")


async def test_an_empty_mesh_is_an_answer(lab):
    await lab.serve()
    lab.publish()
    await lab.converged()
    await lab.until("server.state", 0)


@pytest.mark.pitfall("P1")
@pytest.mark.case(89)
async def test_endpoints_follow_a_changed_cluster(lab):
    """1.10.6: Envoy warms a changed cluster and waits for endpoints that have not changed."""
    await lab.serve()
    lab.publish(cluster("x"), assignment("x", 1))
    await lab.converged()
    lab.publish(cluster("x", connect_timeout=2.0))
    await lab.converged()  # Envoy ACKs a cluster when it is warm
    await lab.until("cluster_manager.warming_clusters", 0)

    assert await lab.stat("cluster_manager.cluster_modified") == 1


@pytest.mark.pitfall("P2")
@pytest.mark.case(83)
async def test_reconnects_while_a_cluster_warms(lab, monkeypatch):
    """docs/protocol.md 12: Envoy holds its CDS request back and first asks for endpoints that it has; silence would be for ever."""
    await lab.serve()
    lab.publish(cluster("x"), assignment("x", 1))
    await lab.converged()
    with monkeypatch.context() as broken:
        broken.setattr(order, "endpoints_to_repeat", lambda *_: set())
        lab.publish(cluster("x", connect_timeout=2.0))
        await lab.until("cluster_manager.warming_clusters", 1)
        await lab.server.stop(0.1)
    await lab.serve()
    lab.publish(cluster("x", connect_timeout=2.0), assignment("x", 1))
    await lab.converged()
    await lab.until("cluster_manager.warming_clusters", 0)


@pytest.mark.case(81)
@pytest.mark.pitfall("P11")
@pytest.mark.pitfall("P12")
@pytest.mark.pitfall("P28")
@pytest.mark.case(82)
async def test_a_server_that_is_not_synced_wipes_nothing(lab, backends):
    """P12, and 81: the same content after a restart changes nothing in Envoy."""
    port = free_port()
    content = (cluster("x"), assignment("x", backends[0]), listener("l", port, route="r"), route("r", "x"))
    await lab.serve()
    lab.publish(*content)
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 1)
    await lab.server.stop(0.1)

    before = lab.timeline.last
    await lab.serve(synced=False)
    await lab.event("subscribe", CDS, before)
    assert [event for event in lab.timeline.events(before) if event.kind == "send"] == []
    assert await get(port) == b"200 x"

    lab.publish(*content)
    lab.server.mark_synced()
    await lab.converged()
    assert await get(port) == b"200 x"
    assert await lab.stat("cluster_manager.cluster_added") == 2  # xds and x, once each
    assert await lab.stat("cluster_manager.cluster_modified") == 0
    assert await lab.stat("listener_manager.listener_modified") == 0
    sent = {event.type for event in lab.timeline.events(before) if event.kind == "send"}
    assert sent.isdisjoint({"CDS", "LDS"})


async def test_a_nack_is_shown_and_heals(lab):
    port = free_port()
    await lab.serve()
    lab.publish(cluster("x"), broken_listener("bad"), listener("good", port, route="r"), route("r", "x"))
    await lab.event("nack")
    missing = await lab.server.wait(lab.revision, lambda: ["p"], 0)
    kinds = {kind.type: kind for kind in lab.server.proxies()[0].types}

    assert kinds["LDS"].state == "NACKED"
    assert kinds["LDS"].rejected == ("bad",)
    assert "LDS NACKed: bad" in missing[0].reason
    lab.publish(listener("bad", free_port(), route="r"))
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 2)


@pytest.mark.pitfall("P35")
@pytest.mark.case(54, 56)
async def test_endpoints_that_go_leave_no_stale_host(lab, backends):
    """P35: Envoy keeps the hosts of an assignment that is removed; an empty one takes them away."""
    port = free_port()
    await lab.serve()
    lab.publish(cluster("x"), assignment("x", backends[0]), listener("l", port, route="r"), route("r", "x"))
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 1)
    lab.publish(removals=((EDS, "x"),))
    await lab.converged()
    assert (await get(port)).startswith(b"503")
    lab.publish(assignment("x", backends[1]))
    await lab.converged()

    assert await get(port) == b"200 y"


@pytest.mark.pitfall("P17")
@pytest.mark.pitfall("P28")
@pytest.mark.case(98)
async def test_a_route_that_changes_touches_no_listener(lab, backends):
    port = free_port()
    both = (cluster("x"), assignment("x", backends[0]), cluster("y"), assignment("y", backends[1]))
    await lab.serve()
    lab.publish(*both, listener("l", port, route="r"), route("r", "x"))
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 1)
    lab.publish(route("r", "y"))
    await lab.converged()

    assert await get(port) == b"200 y"
    assert await lab.stat("listener_manager.lds.update_success") == 1
    assert await lab.stat("listener_manager.listener_modified") == 0


@pytest.mark.case(95)
async def test_a_route_moves_to_a_new_cluster_without_an_error(lab, backends):
    """Make before break: the new cluster is warm before the route, and the old one goes after it."""
    port = free_port()
    names = ["x", "y"]
    await lab.serve()
    lab.publish(cluster("x"), assignment("x", backends[0]), listener("l", port, route="r"), route("r", "x"))
    await lab.converged()
    await lab.until("listener_manager.total_listeners_active", 1)
    answers: set[bytes] = set()
    moving = True

    async def call() -> None:
        while moving:
            answers.add((await get(port))[:3])

    async with asyncio.TaskGroup() as callers:
        for _ in range(4):
            callers.create_task(call())
        for _ in range(10):
            old, new = names
            gone = ((CDS, old), (EDS, old))
            lab.publish(cluster(new), assignment(new, *backends), route("r", new), removals=gone)
            await lab.converged()
            names.reverse()
        moving = False

    assert answers == {b"200"}
