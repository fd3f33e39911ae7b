"""Trust bundles over a registry: made when they are needed, and rotated by whoever goes on, from any phase."""

import asyncio

import pytest

from tests.unit.ca.made import NOW, ca
from tsunagu.ca import given, rotation
from tsunagu.ca import keeper as keeper_module
from tsunagu.ca.files import AuthorityFiles
from tsunagu.ca.keeper import Keeper, Sources
from tsunagu.model import ids
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.testing import objects as o
from tsunagu.testing.clock import ManualClock
from tsunagu.v1 import identities_pb2, objects_pb2

TASK = "default/orders-1"
REVISION = "default/orders/a1"


class Place:
    """A registry in which namespace shop speaks TLS, and all that a keeper needs; `keeper()` is another process each time."""

    def __init__(self, folder, informer, registry):
        self.folder, self.informer, self.registry = folder, informer, registry
        self.clock = ManualClock(epoch=NOW)
        self.lacking = []
        self.users = {}

    def keeper(self, trust_domain=""):
        async def lacking():
            return self.lacking

        sources = Sources(AuthorityFiles(self.folder, self.users), trust_domain)
        return Keeper(self.registry, self.informer, sources, lacking, self.clock)

    async def put(self, obj):
        await self.informer.wait_revision(await self.registry.put(obj))

    @property
    def bundle(self):
        obj = self.informer.get("TrustBundle", "default")
        return None if obj is None else obj.trust_bundle

    async def task_has(self, issuer):
        task = o.task(TASK, REVISION, "10.9.0.2")
        if issuer:
            task.task.status.identity.CopyFrom(
                identities_pb2.Identity(id="spiffe://x", authority="default", issuer=issuer)
            )
        await self.put(task)

    async def node_has(self, issuer):
        node = o.node()
        held = node.node.identities.add(namespace="shop").identity
        held.CopyFrom(identities_pb2.Identity(id="spiffe://x", authority="default", issuer=issuer))
        await self.put(node)

    async def ask(self):
        wished = objects_pb2.Object()
        wished.CopyFrom(self.informer.get("TrustBundle", "default"))
        wished.trust_bundle.rotations_wanted += 1
        await self.put(wished)

    @property
    def keys(self):
        return {path.stem for path in (self.folder / "default").iterdir()}


@pytest.fixture
async def place(tmp_path):
    registry = Registry(MemoryStore())
    informer = Informer(registry)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(informer.run())
        await informer.wait_synced()
        yield Place(tmp_path / "ca", informer, registry)
        running.cancel()


async def speaks_tls(place):
    await place.put(ids.make("Namespace", "shop", objects_pb2.Namespace(tls="permissive")))


async def test_where_nobody_speaks_tls_nothing_is_made(place):
    assert not await place.keeper().step()
    assert place.bundle is None
    assert not place.folder.exists()


async def test_an_authority_is_made_when_a_namespace_needs_it(place):
    await speaks_tls(place)
    await place.keeper().step()
    assert place.bundle.phase == rotation.STEADY
    assert list(place.bundle.namespaces) == ["shop"]
    assert place.keys == {place.bundle.signs}
    assert not await place.keeper().step(), "nothing more to do"


async def test_no_key_is_in_the_registry(place):
    await speaks_tls(place)
    await place.keeper().step()
    obj = place.informer.get("TrustBundle", "default")
    assert b"PRIVATE" not in obj.SerializeToString()


async def walk(place, seen):
    """One step of a new process each time: as if it were killed after every commit."""
    for _ in range(20):
        busy = await place.keeper().step()
        if place.bundle.phase not in seen:
            seen.append(place.bundle.phase)
        if place.bundle.phase == rotation.REISSUING:
            await place.task_has(place.bundle.signs)
        if place.bundle.phase == rotation.RETIRING:
            await place.clock.advance(rotation.PAUSE)
        if not busy:
            return


async def test_a_rotation_goes_on_whoever_goes_on(place):
    await speaks_tls(place)
    await place.keeper().step()
    old = place.bundle.signs
    await place.task_has(old)
    await place.ask()
    seen = []
    await walk(place, seen)
    assert seen == [rotation.TRUSTING, rotation.REISSUING, rotation.RETIRING, rotation.STEADY]
    assert place.bundle.signs != old
    await place.keeper().step()
    assert place.keys == {place.bundle.signs}, "the old key is gone with its authority"


async def test_a_rotation_waits_for_a_node_that_calls_with_the_old_authority_s_certificate(place):
    await speaks_tls(place)
    await place.keeper().step()
    old = place.bundle.signs
    await place.node_has(old)
    await place.ask()
    for _ in range(4):
        await place.keeper().step()
    assert place.bundle.phase == rotation.REISSUING
    assert place.bundle.waits_for == "1 node (n1) to have a certificate of the new authority"
    await place.node_has(place.bundle.signs)
    await place.keeper().step()
    assert place.bundle.phase == rotation.RETIRING


async def test_one_that_was_killed_between_key_and_bundle_takes_that_key(place):
    await speaks_tls(place)
    keeper = place.keeper()
    await keeper.step()
    AuthorityFiles(place.folder, {}).make("default", "tsunagu.local", NOW + 1)
    await place.ask()
    await place.keeper().step()
    assert len(place.keys) == 2
    assert place.bundle.authorities[-1].fingerprint in place.keys


async def test_proxies_that_do_not_answer_hold_it_up_and_are_named(place):
    await speaks_tls(place)
    await place.keeper().step()
    await place.ask()
    await place.keeper().step()
    place.lacking = ["default/web-1: not connected"]
    assert await place.keeper().step()
    assert place.bundle.phase == rotation.TRUSTING
    assert "default/web-1: not connected" in place.bundle.waits_for


async def test_a_task_without_a_certificate_of_the_new_one_holds_it_up(place):
    await speaks_tls(place)
    await place.keeper().step()
    await place.task_has(place.bundle.signs)
    await place.ask()
    for _ in range(4):
        await place.keeper().step()
    assert place.bundle.phase == rotation.REISSUING
    assert TASK in place.bundle.waits_for
    await place.task_has("")
    await place.keeper().step()
    assert TASK in place.bundle.waits_for, "it is to have one and has none"


def user(folder):
    root = ca("mine")
    return given.parse((str(folder / "ca.pem"), root.pem), (str(folder / "ca.key"), root.key_pem), NOW)


async def test_the_users_own_takes_the_place_of_the_embedded_one_and_back(place, tmp_path):
    await speaks_tls(place)
    await place.keeper().step()
    place.users = {"default": user(tmp_path)}
    await walk(place, [])
    assert place.bundle.signs == place.users["default"].fingerprint
    assert place.bundle.source.endswith("ca.pem")
    assert place.bundle.phase == rotation.STEADY
    place.users = {}
    await walk(place, [])
    assert place.bundle.source == "embedded"
    assert place.bundle.phase == rotation.STEADY


async def test_an_authority_that_grows_old_is_replaced_in_time(place):
    await speaks_tls(place)
    await place.keeper().step()
    old = place.bundle.signs
    await place.clock.advance(250 * 86400)
    assert await place.keeper().step()
    assert place.bundle.phase == rotation.TRUSTING
    assert place.bundle.signs == old


async def test_several_authorities_each_have_a_bundle_and_all_are_of_one_trust_domain(place, tmp_path):
    place.users = {"audit": user(tmp_path)}
    await speaks_tls(place)
    await place.keeper("mesh.example").step()
    bundles = place.informer.objects("TrustBundle")
    assert sorted(bundles) == ["audit", "default"]
    assert {one.trust_bundle.trust_domain for one in bundles.values()} == {"mesh.example"}


async def test_an_authority_of_an_earlier_mesh_signs_for_its_own_trust_domain_alone(place):
    files = AuthorityFiles(place.folder, {})
    earlier = files.make("default", "earlier.example", NOW - 1)
    await speaks_tls(place)
    await place.keeper("mesh.example").step()
    assert place.bundle.trust_domain == "mesh.example"
    assert place.bundle.signs != earlier.fingerprint


async def test_an_authority_of_an_earlier_mesh_is_used_where_no_trust_domain_is_asked_for(place):
    earlier = AuthorityFiles(place.folder, {}).make("default", "earlier.example", NOW - 1)
    await speaks_tls(place)
    await place.keeper().step()
    assert (place.bundle.trust_domain, place.bundle.signs) == ("earlier.example", earlier.fingerprint)


async def test_a_key_that_cannot_be_used_is_said_once_and_tried_until_it_can(place, monkeypatch):
    await speaks_tls(place)
    await place.keeper().step()
    (file,) = (place.folder / "default").iterdir()
    file.chmod(0o644)
    said = []
    monkeypatch.setattr(keeper_module._log, "exception", said.append, raising=False)
    await place.ask()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(place.keeper().run())
        for _ in range(20):
            await place.clock.advance(1.0)
        assert said == ["trust bundles could not be kept"]
        file.chmod(0o600)
        while place.bundle.phase == rotation.STEADY:
            await place.clock.advance(1.0)
        running.cancel()
    assert len(said) == 1
