"""Versions of the caller's for whole types: what SotW's version_info says, and until when."""

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.resources import CDS, Resource, ResourceType
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW
from tsunagu.xds.type_table import TypeTable

CONTENT = Resource.of(CDS, "a", wire.text(1, "a"))


class World:
    def __init__(self, catalog=None):
        self.catalog = catalog or Catalog()
        self.catalog.synced = True
        self.revision = 0
        self.session = Session(self.catalog, SOTW)

    def publish(self, *upserts, bundle="b", removals=(), version=""):
        self.revision += 1
        update = BundleUpdate(bundle, upserts, removals, ((CDS, version),))
        self.catalog.publish([update], self.revision, "test")
        return self.versions(self.session.publish(0))

    def ask(self, bundles=("b",), url=CDS, version=""):
        self.session = Session(self.catalog, SOTW)
        request = discovery_pb2.DiscoveryRequest(node={"id": "p"}, type_url=url, version_info=version)
        self.session.receive(request.SerializeToString(), 0)
        return self.versions(self.session.authorize(Scope("p", bundles), 0))

    def ack(self):
        (watch,) = self.session.watches.values()
        for nonce in list(watch.outstanding):
            request = discovery_pb2.DiscoveryRequest(type_url=watch.type.url, response_nonce=nonce)
            self.session.receive(request.SerializeToString(), 0)

    @staticmethod
    def versions(actions):
        return [one.version for one in actions if hasattr(one, "payload")]


def test_a_type_has_the_callers_version_until_a_change_without_one():
    world = World()
    world.publish(CONTENT, version="v1")
    assert world.ask() == ["v1"]
    world.ack()
    other = Resource.of(CDS, "b", wire.text(1, "b"))
    assert world.publish(other, version="v2") == ["v2"]
    world.ack()
    (version,) = world.publish(removals=((CDS, "b"),))
    assert len(version) == 16


def test_a_client_that_has_the_version_is_sent_nothing():
    world = World()
    world.publish(CONTENT, version="v1")
    assert world.ask(version="v1") == []
    assert world.ask(version="v0") == ["v1"]


def test_a_type_of_which_there_is_nothing_can_have_a_version():
    world = World()
    world.publish(version="v1")
    assert world.ask() == ["v1"]


def test_of_several_bundles_all_have_to_have_one():
    world = World()
    world.publish(CONTENT, version="v1")
    world.publish(Resource.of(CDS, "c", wire.text(1, "c")), bundle="c", version="w1")
    assert world.ask(("b", "c")) == ["v1+w1"]
    world.publish(Resource.of(CDS, "d", wire.text(1, "d")), bundle="c")
    assert len(world.ask(("b", "c"))[0]) == 16
    assert world.ask() == ["v1"]


def test_a_type_of_ones_own_may_be_a_full_state():
    workloads = ResourceType("type.googleapis.com/example.Workload", "WORKLOADS", full_state=True)
    world = World(Catalog(TypeTable([workloads])))
    world.publish(Resource.of(workloads, "w", wire.text(1, "w")))
    assert len(world.ask(url=workloads.url)) == 1  # an empty first request is a wildcard, as for LDS
