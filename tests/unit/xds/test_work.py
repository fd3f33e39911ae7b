"""What a change costs, counted: views and groups visited, resources compared and encoded, responses assembled.

Timings on a busy machine cannot be told apart within five percent; these numbers can. Each is the least that the design
allows, so that work which is added by mistake fails a test here. Real proxies have one scope per service revision: the
namespace's bundle and one of their own. An endpoint change must cost them no more than streams in a single scope.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import catalog as catalogs
from tsunagu.xds import encode, wire
from tsunagu.xds import watch as watches
from tsunagu.xds.actions import Send
from tsunagu.xds.bundle import BundleUpdate, Mask, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.composite import TypeView
from tsunagu.xds.delta import DELTA
from tsunagu.xds.group import Batch, Group
from tsunagu.xds.resources import CDS, EDS, LDS, RDS, Resource
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW

STREAMS = 12
SERVICES = 30
NAMES = [f"s{number}" for number in range(SERVICES)]
REQUESTS = {
    DELTA: lambda url, names, nonce: discovery_pb2.DeltaDiscoveryRequest(
        type_url=url, resource_names_subscribe=[] if nonce else names, response_nonce=nonce
    ),
    SOTW: lambda url, names, nonce: discovery_pb2.DiscoveryRequest(
        type_url=url, resource_names=names, response_nonce=nonce
    ),
}


@pytest.fixture
def work(monkeypatch) -> Counter[str]:
    """Counts calls from the moment of the fixture; `clear` it before what is to be measured."""
    counted: Counter[str] = Counter()

    def count(where: object, name: str, what: str, amount=lambda *_: 1) -> None:
        original = getattr(where, name)

        def counting(*args, **options):
            counted[what] += amount(*args)
            return original(*args, **options)

        monkeypatch.setattr(where, name, counting)

    count(TypeView, "changed", "views")
    count(TypeView, "changed", "groups", lambda view, *_: len(view.groups))
    count(Group, "append", "log entries")
    count(Batch, "__post_init__", "batches")
    count(catalogs, "same", "compared")
    count(watches, "same", "compared")
    count(Resource, "_any", "encoded")
    count(encode, "response", "responses")
    digest = Resource.digest.fget
    monkeypatch.setattr(Resource, "digest", property(lambda self: counted.update(["digests"]) or digest(self)))
    return counted


def resource(url: str, name: str, content: object = 1) -> Resource:
    cluster = b"\x10\x03" if url == CDS and name in NAMES else b""
    return Resource.of(url, name, wire.text(1, name) + cluster + wire.text(99, str(content)))


class Mesh:
    """A namespace of services, and streams of the four types that Envoys ask for."""

    def __init__(self, variant) -> None:
        self.variant = variant
        self.catalog = Catalog()
        self.catalog.synced = True
        self.revision = 0
        self.sessions: list[Session] = []
        self.publish("ns", *(resource(url, name) for url in (CDS, EDS, LDS, RDS) for name in NAMES))

    def publish(self, bundle: str, *upserts: Resource) -> set[object]:
        self.revision += 1
        return self.catalog.publish([BundleUpdate(bundle, upserts)], self.revision, "test")

    def push(self, *upserts: Resource, bundle: str = "ns") -> int:
        """Publish, and let everyone answer; returns how many streams were concerned."""
        touched = self.publish(bundle, *upserts)
        for session in touched:
            self.ack(session, session.publish(0))
        return len(touched)

    def connect(self, scope: Scope) -> None:
        session = Session(self.catalog, self.variant, stream=str(len(self.sessions)))
        self.sessions.append(session)
        first = REQUESTS[self.variant](CDS, [], "")
        first.node.id = scope.proxy
        session.receive(first.SerializeToString(), 0)
        self.ack(session, session.authorize(scope, 0))
        for url, names in ((EDS, NAMES), (LDS, []), (RDS, NAMES)):
            self.say(session, url, names, "")

    def ack(self, session: Session, actions: list) -> None:
        for action in actions:
            if isinstance(action, Send):
                names = NAMES if action.type_url in (EDS, RDS) else []
                self.say(session, action.type_url, names, action.nonce)

    def say(self, session: Session, url: str, names: list[str], nonce: str) -> None:
        message = REQUESTS[self.variant](url, names, nonce)
        self.ack(session, session.receive(message.SerializeToString(), 0))


def in_one_scope(mesh: Mesh) -> None:
    for number in range(STREAMS):
        mesh.connect(Scope(f"p{number}", ("ns", "rev")))


def in_scopes_of_their_own(mesh: Mesh) -> None:
    """As proxies of as many service revisions: each has an ingress listener and a local cluster besides."""
    for number in range(STREAMS):
        mesh.publish(f"rev{number}", resource(CDS, "local", number), resource(LDS, "ingress", number))
        mesh.connect(Scope(f"p{number}", ("ns", f"rev{number}")))


@pytest.fixture(params=[DELTA, SOTW], ids=lambda variant: variant.name)
def mesh(request) -> Mesh:
    return Mesh(request.param)


@pytest.mark.parametrize("connect", [in_one_scope, in_scopes_of_their_own])
def test_an_endpoint_change_is_computed_once_and_sent_to_each(mesh, work, connect):
    connect(mesh)
    work.clear()

    assert mesh.push(resource(EDS, "s7", 2)) == STREAMS
    assert work == {
        "views": 1,
        "groups": 1,
        "log entries": 1,
        "compared": 2,  # in the bundle, and in what is seen of it
        "digests": 2,  # of the old and the new one: the SotW version moves
        "batches": 1,
        "encoded": 1,
        "responses": STREAMS,
    }


@pytest.mark.parametrize("connect", [in_one_scope, in_scopes_of_their_own])
def test_a_route_change_is_computed_once_too(mesh, work, connect):
    connect(mesh)
    work.clear()
    mesh.push(resource(RDS, "s7", 2))

    assert (work["views"], work["groups"], work["batches"], work["encoded"]) == (1, 1, 1, 1)


def test_a_cluster_change_visits_each_view_of_clusters_and_no_other(work):
    """Clusters and listeners are in the bundles of the revisions as well: their views are not shared."""
    mesh = Mesh(DELTA)
    in_scopes_of_their_own(mesh)
    work.clear()

    assert mesh.push(resource(CDS, "s7", 2)) == STREAMS
    assert (work["views"], work["groups"], work["encoded"]) == (STREAMS, STREAMS, 1)


def test_a_revisions_own_listener_concerns_its_own_streams(mesh, work):
    in_scopes_of_their_own(mesh)
    work.clear()

    assert mesh.push(resource(LDS, "ingress", "new"), bundle="rev3") == 1
    assert (work["views"], work["groups"], work["responses"]) == (1, 1, 1)


def test_a_change_that_nobody_sees_visits_nothing(mesh, work):
    in_one_scope(mesh)
    work.clear()

    assert mesh.push(resource(EDS, "s7", 2), bundle="another namespace") == 0
    assert work == {"compared": 1}


def test_what_is_the_same_is_compared_and_no_more(mesh, work):
    in_one_scope(mesh)
    work.clear()

    assert mesh.push(*(resource(EDS, name) for name in NAMES)) == 0
    assert work == {"compared": SERVICES}


def test_a_scope_of_its_own_costs_what_is_its_own(work):
    """To join, a proxy of a new revision walks its own few resources, not those of the namespace."""
    mesh = Mesh(DELTA)
    in_scopes_of_their_own(mesh)
    mesh.publish("rev", resource(CDS, "local"), resource(LDS, "ingress"))
    work.clear()
    mesh.connect(Scope("p", ("ns", "rev")))

    assert work["digests"] == work["encoded"] == 2  # its local cluster and its ingress
    assert work["responses"] == 4


def test_masks_by_name_are_visited_by_name(work):
    """Another name's change does not visit a scope that sees a fixed set of names."""
    mesh = Mesh(DELTA)
    for number in range(STREAMS):
        seen = frozenset((url, NAMES[number]) for url in (CDS, EDS, LDS, RDS))
        mesh.connect(Scope(f"p{number}", ("ns",), mask=Mask(only=seen)))
    work.clear()

    assert mesh.push(resource(EDS, "s3", 2)) == 1
    assert (work["views"], work["groups"]) == (1, 1)
    assert mesh.push(resource(EDS, NAMES[-1], 2)) == 0
    assert work["views"] == 1


def test_a_mask_until_a_revision_hides_what_is_born_later_and_nobody_is_rescoped(work):
    """`freeze: deployment`: masks differ by deployment, so there is a view of listeners for each, and one of endpoints."""
    mesh = Mesh(DELTA)
    for number in range(STREAMS):
        until = frozenset({(LDS, 10 + number % 2)})
        mesh.connect(Scope(f"p{number}", ("ns", f"rev{number}"), mask=Mask(until=until)))
    work.clear()

    assert mesh.push(resource(LDS, "late").since(11)) == STREAMS // 2
    assert work["views"] == 1
    assert mesh.push(resource(LDS, "later").since(12)) == 0
    assert mesh.push(resource(LDS, "later").since(11)) == STREAMS // 2  # born again, before
    assert mesh.push(resource(LDS, "later").since(12)) == STREAMS // 2  # is gone for them
    work.clear()
    assert mesh.push(resource(EDS, "s4", 2)) == STREAMS
    assert work["views"] == 1


def test_what_a_mask_hides_by_its_birth_shadows_nothing(work):
    mesh = Mesh(DELTA)
    mesh.publish("rev", resource(LDS, "twice"))
    mesh.publish("ns", resource(LDS, "twice").since(12))
    mesh.connect(Scope("p", ("ns", "rev"), mask=Mask(until=frozenset({(LDS, 11)}))))
    [session] = mesh.sessions
    group = session.watches[LDS].group
    assert group.current("twice").version == resource(LDS, "twice").version
    assert group.source.everything().upserts.count(resource(LDS, "twice")) == 1


def test_a_hidden_name_is_not_sent_and_its_view_is_shared_by_all_with_that_mask(work):
    mesh = Mesh(DELTA)
    for number in range(STREAMS):
        mesh.connect(Scope(f"p{number}", ("ns", f"rev{number}"), mask=Mask(hidden=frozenset({(EDS, "s3")}))))
    work.clear()

    assert mesh.push(resource(EDS, "s3", 2)) == 0
    assert work["views"] == 0
    assert mesh.push(resource(EDS, "s4", 2)) == STREAMS
    assert work["views"] == 1


def test_a_type_that_comes_to_a_bundle_splits_its_streams_off_without_a_word(mesh, work):
    """Streams share a view of the types that their bundles cannot hold, until one of these bundles does."""
    in_scopes_of_their_own(mesh)
    endpoints = [session.watches[EDS].group for session in mesh.sessions]
    assert len(set(endpoints)) == 1
    work.clear()

    assert mesh.push(resource(EDS, "s3", "of its own"), bundle="rev3") == 0  # the namespace's comes first, and wins
    assert work["responses"] == 0
    assert [session.watches[EDS].group is endpoints[0] for session in mesh.sessions].count(False) == 1
    assert mesh.push(resource(EDS, "s3", 2)) == STREAMS
