"""The DNS names of a namespace's Externals may be reached by its tasks, whatever else its egress denies."""

import asyncio
from types import SimpleNamespace

import pytest

from tsunagu.model import ids
from tsunagu.v1 import external_pb2, objects_pb2
from tsunagu_node.outside.egress import Outside
from tsunagu_node.outside.relay.destinations import Policy


class Known:
    """An informer that has shown these objects."""

    synced = True

    def __init__(self, kind, **bodies):
        self.kind, self.bodies = kind, bodies
        self.changed = asyncio.Event()
        self.changed.set()

    def objects(self, _):
        return {name: ids.make(self.kind, name, body) for name, body in self.bodies.items()}

    async def follow(self):
        while True:
            await self.changed.wait()
            self.changed.clear()
            yield SimpleNamespace()


class WayOut:
    """Remembers what it was told last."""

    no_host = ""

    def __init__(self):
        self.told, self.dismissed = {}, []

    async def policies(self, policies):
        self.told = dict(policies)

    async def dismiss(self, task, addresses):
        self.dismissed.append((task, set(addresses)))

    async def admit(self, task, addresses, seconds):
        pass


def namespace(*egress):
    return objects_pb2.Namespace(egress=egress)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - of what another task of this loop does
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("egress", "addresses", "policy", "admitted", "refused"),
    [
        (["deny"], ["api.example:443"], Policy.NAMES, "api.example", "www.example"),
        (["deny"], ["192.0.2.1:443"], Policy.DENY, "", "api.example"),
        (["www.example"], ["API.example:443", "192.0.2.1:443"], Policy.NAMES, "api.example", "db.example"),
        (["allow"], ["api.example:443"], Policy.ALLOW, "anything.example", ""),
    ],
)
async def test_names_of_externals_are_among_those_that_may_be_reached(egress, addresses, policy, admitted, refused):
    namespaces = Known("Namespace", shop=namespace(*egress))
    externals = Known("External", **{"shop/api": external_pb2.External(addresses=addresses)})
    outside = Outside(WayOut())
    running = asyncio.ensure_future(outside.run(namespaces, externals))
    assert await outside.begin("web-1", "shop") is policy
    if admitted:
        assert outside.refusal("web-1", admitted) == ""
    if refused:
        assert "egress of namespace shop is" in outside.refusal("web-1", refused)
    running.cancel()


async def test_an_external_that_comes_and_goes_changes_what_running_tasks_may_reach():
    namespaces = Known("Namespace", shop=namespace("deny"))
    externals = Known("External", **{"bank/api": external_pb2.External(addresses=["bank.example:443"])})
    way_out = WayOut()
    outside = Outside(way_out)
    running = asyncio.ensure_future(outside.run(namespaces, externals))
    assert await outside.begin("web-1", "shop") is Policy.DENY  # another namespace's External is none of its
    externals.bodies = {"shop/api": external_pb2.External(addresses=["api.example:443"])}
    externals.changed.set()
    await until(lambda: way_out.told == {"web-1": Policy.NAMES})
    externals.bodies = {}
    externals.changed.set()
    await until(lambda: way_out.told == {"web-1": Policy.DENY})
    running.cancel()
