"""A resource with a time to live stays in a real Envoy for as long as its server does, and no longer."""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio

import pytest

from tests.e2e.xds_lab import PATIENCE, assignment, cluster, lab, sockets  # noqa: F401  # fixtures among them
from tsunagu.xds.resources import CDS, Resource

pytestmark = pytest.mark.e2e

HEARTBEATS = 7  # those of more than two lives
LIFE = 2.5  # s: a third of it goes by between heartbeats, the rest is for a machine that is busy


async def heartbeats(lab, count: int) -> None:
    """Until Envoy has ACKed so many."""
    sent: set[str] = set()
    async with asyncio.timeout(PATIENCE):
        async for event in lab.timeline.follow(0, "p", CDS):
            assert event.kind != "nack", event.error
            if event.cause == "heartbeat":
                sent.add(event.nonce)
            if event.kind == "ack" and event.nonce in sent:
                count -= 1
            if not count:
                return


@pytest.mark.case("135")
async def test_a_cluster_that_lapses_stays_until_its_server_has_gone(lab):
    await lab.serve()
    lasting = cluster("lasting")
    lapsing = Resource.of(CDS, "lapsing", cluster("lapsing").body, ttl=LIFE)
    lab.publish(lasting, lapsing, assignment("lasting", 1), assignment("lapsing", 2))
    await lab.converged()
    await lab.until("cluster_manager.active_clusters", 3)  # with that of the bootstrap

    await heartbeats(lab, HEARTBEATS)
    assert await lab.stat("cluster_manager.active_clusters") == 3
    assert await lab.stat("cluster_manager.cluster_removed") == 0
    assert await lab.stat("cluster_manager.cluster_modified") == 0
    assert await lab.stat("cluster.lapsing.membership_total") == 1

    await lab.server.stop(0.1)
    await lab.until("cluster_manager.active_clusters", 2)
    assert await lab.stat("cluster_manager.cluster_removed") == 1
    assert await lab.stat("cluster.lasting.membership_total") == 1


@pytest.mark.case("135")
async def test_without_its_time_to_live_it_outlives_its_server(lab):
    await lab.serve()
    lab.publish(Resource.of(CDS, "a", cluster("a").body, ttl=LIFE), assignment("a", 1))
    await lab.converged()
    lab.publish(cluster("a"), assignment("a", 1))
    await lab.converged()
    lapsing = Resource.of(CDS, "canary", cluster("canary").body, ttl=LIFE)
    lab.publish(lapsing, assignment("canary", 2))
    await lab.converged()
    await lab.until("cluster_manager.active_clusters", 3)

    await lab.server.stop(0.1)
    await lab.until("cluster_manager.active_clusters", 2)  # so the time of the other would have passed, too
    assert await lab.stat("cluster.a.membership_total") == 1
