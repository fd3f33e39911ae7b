"""Names that nobody has: a function of the user's may put them, and whatever it does harms no client."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tsunagu import Limits, Resource, XdsServer
from tsunagu.testing import FakeProxy
from tsunagu.xds import wire

PATIENCE = 10.0


def made(kind, name):
    return Resource.of(kind, name, wire.text(1, name))


async def test_what_is_put_in_time_is_the_first_answer():
    asked = []

    async def find(missing):
        asked.append((missing.proxy, missing.node.cluster, missing.groups, missing.type, missing.name))
        await asyncio.sleep(0)
        server.put(made(missing.type, missing.name), group=missing.groups[0])

    async with XdsServer(groups=lambda node: node.cluster, on_missing=find) as server:
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        async with FakeProxy(target, node="me", cluster="web") as me:
            await me.subscribe("VHDS", ["r/shop"])
            update = await me.receive()
            assert (list(update.resources), update.removed) == (["r/shop"], ())
    assert asked == [("me", "web", ("web",), "VHDS", "r/shop")]


async def test_what_is_not_found_is_told_at_once():
    async with XdsServer(on_missing=lambda missing: None, limits=Limits(lookup=1000)) as server:
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        async with FakeProxy(target, node="me") as me:
            await me.subscribe("RDS", ["none"])
            assert (await me.receive()).removed == ("none",)


async def test_what_it_raises_reaches_the_log_and_the_client_stays(caplog):
    def failing(missing):
        raise LookupError(f"no database for {missing.name}")

    async with XdsServer(on_missing=failing) as server:
        server.put(made("CDS", "a"))
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        async with FakeProxy(target, node="me") as me:
            with caplog.at_level(logging.ERROR):
                await me.subscribe("RDS", ["r"])
                await me.ack(await me.receive())
            assert "looking for r of me failed" in caplog.text
            assert "LookupError: no database for r" in caplog.text
            await me.subscribe("CDS", ["a"])
            assert list((await me.receive()).resources) == ["a"]


async def test_one_that_hangs_is_not_waited_for_and_holds_up_no_push(caplog):
    begun = asyncio.Event()

    async def hanging(_missing):
        begun.set()
        await asyncio.sleep(1000)

    async with XdsServer(on_missing=hanging, limits=Limits(lookup=0.3)) as server:
        server.put(made("CDS", "a"))
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        async with FakeProxy(target, node="me") as me:
            await me.subscribe("CDS", ["a"])
            await me.ack(await me.receive())
            await me.subscribe("RDS", ["r"])
            async with asyncio.timeout(PATIENCE):
                await begun.wait()
            server.put(Resource.of("CDS", "a", wire.text(1, "a") + wire.text(99, "2")))
            assert list((await me.receive()).resources) == ["a"]  # while it hangs
            assert (await me.receive()).removed == ("r",)
    assert "r of me was looked for in vain" in caplog.text


async def test_a_stream_that_ends_ends_its_search():
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hanging(_missing):
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    async with XdsServer(on_missing=hanging, limits=Limits(lookup=1000)) as server:
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        async with asyncio.timeout(PATIENCE), FakeProxy(target, node="me") as me:
            await me.subscribe("RDS", ["r"])
            await begun.wait()
            await me.close()
            await ended.wait()


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_it_is_asked_once_for_each_name(variant):
    asked = []
    async with XdsServer(on_missing=lambda missing: asked.append(missing.name)) as server:
        server.put(made("RDS", "there"))
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        async with FakeProxy(target, node="me", variant=variant) as me:
            await me.subscribe("RDS", ["there", "x"])
            await me.ack(await me.receive())
            await me.subscribe("RDS", ["y"])
            async with asyncio.timeout(PATIENCE):
                while len(asked) < 2:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.01)
    assert asked == ["x", "y"]
