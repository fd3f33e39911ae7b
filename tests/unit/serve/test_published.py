"""What proxies are offered, what is in front of it, and whose scope is what before anything is."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tsunagu.mesh.view import View
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import PutObject, Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.serve.published import Overrides, PublishedState, Scopes
from tsunagu.testing import objects as make
from tsunagu.xds.bundle import ALL_NAMES, BundleUpdate
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.resources import CDS, EDS, LDS, RDS, NameMismatch, Resource, type_of

REVISION = "default/web/1"
WEB = [make.task("default/web-1", REVISION, "10.9.0.2"), make.revision(REVISION, make.port("web"))]
SCOPE = ("override/shop", "ns/shop", "rev/default/web/1")


@asynccontextmanager
async def followed(registry):
    informer = Informer(registry)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(informer.run(), name="informer")
        await informer.wait_synced()
        yield informer
        running.cancel()


async def test_a_proxys_scope_is_known_before_anything_is_published():
    registry = Registry(MemoryStore())
    async with followed(registry) as informer:
        published = PublishedState()
        scopes = Scopes(published, informer)
        assert scopes.of("default/web-1") is None
        await informer.wait_revision(await registry.batch([PutObject(obj) for obj in WEB]))
        assert scopes.of("default/web-1") == SCOPE
        assert published.revision == 0


async def test_what_is_published_decides_from_then_on():
    registry = Registry(MemoryStore())
    async with followed(registry) as informer:
        published = PublishedState()
        scopes = Scopes(published, informer)
        await informer.wait_revision(await registry.batch([PutObject(obj) for obj in WEB]))
        published.advance(View.empty())  # the task came when that had been made
        assert scopes.of("default/web-1") is None


async def test_a_frozen_task_has_a_mask_that_stays_whatever_is_born():
    registry = Registry(MemoryStore())
    frozen = [
        make.task("default/web-1", REVISION, "10.9.0.2", deployment=5),
        make.revision(REVISION, make.port("web"), frozen=True),
    ]
    async with followed(registry) as informer:
        scopes = Scopes(PublishedState(), informer)
        await informer.wait_revision(await registry.batch([PutObject(obj) for obj in frozen]))
        mask = scopes.mask("default/web-1")
        assert [mask.of(kind).until for kind in (LDS, RDS)] == [5, 5]
        assert [mask.of(kind) for kind in (CDS, EDS)] == [ALL_NAMES, ALL_NAMES]  # which all proxies share
        born = make.address("late", "127.255.0.9", births={80: 8})
        await informer.wait_revision(await registry.batch([PutObject(born)]))
        assert scopes.mask("default/web-1") == mask


MADE = Resource.of(LDS, "capture", b"\n\x07capture\x12\x00")
RAW = b"\n\x07capture"


class Mesh:
    """A catalog in which a proxy of `shop` sees one listener, and overrides of it."""

    def __init__(self):
        self.catalog = Catalog()
        self.causes = []
        self.publish([BundleUpdate("ns/shop", (MADE,))], 1, "start")
        self.scope = self.catalog.compose(SCOPE)
        self.overrides = Overrides(PublishedState(), self.publish)

    def publish(self, updates, revision, cause):
        self.catalog.publish(updates, revision, cause)
        self.causes.append(cause)

    def seen(self):
        found = self.scope.view(type_of(LDS)).get("capture")
        return found.body if found else None


@pytest.fixture
def mesh():
    return Mesh()


def test_an_override_hides_what_translation_says_until_it_is_cleared(mesh):
    mesh.overrides.set("shop", LDS, "capture", RAW)
    assert mesh.seen() == RAW
    assert mesh.causes[-1] == "override of capture in shop"
    mesh.overrides.set("shop", LDS, "capture", b"")
    assert mesh.seen() == MADE.body


def test_what_translation_says_meanwhile_is_seen_when_it_is_cleared(mesh):
    mesh.overrides.set("shop", LDS, "capture", RAW)
    changed = Resource.of(LDS, "capture", b"\n\x07capture\x1a\x00")
    mesh.publish([BundleUpdate("ns/shop", (changed,))], 2, "a change")
    assert mesh.seen() == RAW
    mesh.overrides.set("shop", LDS, "capture", b"")
    assert mesh.seen() == changed.body


def test_what_translation_takes_away_meanwhile_is_gone_when_it_is_cleared(mesh):
    mesh.overrides.set("shop", LDS, "capture", RAW)
    mesh.publish([BundleUpdate("ns/shop", (), ((LDS, "capture"),))], 2, "a change")
    assert mesh.seen() == RAW
    mesh.overrides.set("shop", LDS, "capture", b"")
    assert mesh.seen() is None


def test_to_clear_what_was_never_set_publishes_nothing(mesh):
    before = list(mesh.causes)
    mesh.overrides.set("shop", LDS, "capture", b"")
    assert mesh.causes == before


def test_an_override_of_another_name_is_refused(mesh):
    with pytest.raises(NameMismatch):
        mesh.overrides.set("shop", LDS, "other", RAW)
