"""The shared bookkeeping: who shares what, and that a stream which is up to date holds a position and no more."""

from __future__ import annotations

import pytest

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import group as groups
from tsunagu.xds import wire
from tsunagu.xds.actions import Send
from tsunagu.xds.bundle import BundleUpdate, Mask, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.inspection.status import unconverged
from tsunagu.xds.resources import CDS, EDS, RDS, Resource
from tsunagu.xds.session import Session

SCOPE = Scope("p", ("b",))
NAMES = [f"e{number}" for number in range(50)]


def resource(url: str, name: str, content: object = 1) -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, str(content)))


def request(url: str, *names: str, **fields) -> bytes:
    message = discovery_pb2.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=names, **fields)
    message.node.id = "p"
    return message.SerializeToString()


class Shop:
    """A catalog with fifty assignments, and streams that ask for them."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.catalog.synced = True
        self.revision = 0
        self.publish(*(resource(EDS, name) for name in NAMES))

    def publish(self, *upserts: Resource, bundle: str = "b", removals=()) -> set[Session]:
        self.revision += 1
        return self.catalog.publish([BundleUpdate(bundle, upserts, tuple(removals))], self.revision, "test")

    def stream(self, url: str = EDS, names=NAMES, scope: Scope = SCOPE) -> Session:
        session = Session(self.catalog, DELTA, stream=str(len(self.catalog.owners)))
        session.receive(request(url, *names), 0)
        self.ack(session, session.authorize(scope, 0))
        return session

    @staticmethod
    def ack(session: Session, actions: list) -> list[Send]:
        sends = [action for action in actions if isinstance(action, Send)]
        for send in sends:
            session.receive(request(send.type_url, response_nonce=send.nonce), 0)
        return sends


@pytest.fixture
def shop():
    return Shop()


@pytest.mark.case(131)
def test_streams_that_ask_for_the_same_share_it(shop):
    one, other = shop.stream(), shop.stream()
    mine, theirs = one.watches[EDS], other.watches[EDS]

    assert mine.group is theirs.group
    assert mine.subscription.names is theirs.subscription.names
    assert (mine.divergence, mine.forced, mine.outstanding, mine.recheck) == (None, None, {}, None)


def test_a_step_that_others_took_is_shared(shop):
    one, other = shop.stream(), shop.stream()
    shop.publish(resource(EDS, "new"))
    for session in (one, other):
        shop.ack(session, session.receive(request(EDS, "new"), 0))

    assert one.watches[EDS].group is other.watches[EDS].group
    (view,) = shop.catalog._views.values()
    assert list(view.groups.values()) == [one.watches[EDS].group]


def test_another_order_of_steps_leads_to_the_same_group(shop):
    one, other = shop.stream(names=["e1", "e2"]), shop.stream(names=["e2"])
    shop.ack(other, other.receive(request(EDS, "e1"), 0))

    assert one.watches[EDS].group is other.watches[EDS].group


@pytest.mark.case(123)
def test_a_change_is_put_together_once_for_all(shop):
    sessions = [shop.stream() for _ in range(5)]
    touched = shop.publish(resource(EDS, "e7", 2))
    sends = [shop.ack(session, session.publish(0))[0] for session in sessions]

    assert touched == set(sessions)
    assert len({id(send.resources) for send in sends}) == 1
    assert [one.name for one in sends[0].resources] == ["e7"]


@pytest.mark.case(124)
def test_a_change_reaches_those_who_asked_and_nobody_else(shop):
    asked, other_name, other_bundle = shop.stream(), shop.stream(names=["e1"]), shop.stream(scope=Scope("q", ("c",)))

    assert shop.publish(resource(EDS, "e7", 2)) == {asked}
    assert shop.publish(resource(EDS, "e1", 2)) == {asked, other_name}
    assert shop.publish(resource(EDS, "e1", 3), bundle="c") == {other_bundle}


def test_a_sum_moves_as_if_it_were_counted_anew(shop):
    session = shop.stream(RDS, [*NAMES, "more"])
    shop.publish(*(resource(RDS, name) for name in NAMES))
    shop.publish(resource(RDS, "e1", 2), resource(RDS, "more"), removals=[(RDS, "e2"), (RDS, "nosuch")])
    group = session.watches[RDS].group

    existing = group.existing().upserts
    assert group.sum == sum(one.digest for one in existing)
    assert group.count == len(existing) == 50


@pytest.mark.pitfall("P14")
@pytest.mark.case(72)
def test_a_log_is_bounded_by_a_client_that_never_answers(shop, monkeypatch):
    monkeypatch.setattr(groups, "LOG_LIMIT", 8)
    quick, slow = shop.stream(), shop.stream()
    shop.publish(resource(EDS, "e0", 0))
    shop.ack(quick, quick.publish(0))
    stuck = [action for action in slow.publish(0) if isinstance(action, Send)]
    for content in range(2, 500):
        shop.publish(resource(EDS, "e0", content), resource(EDS, "e1", content % 3))
        shop.ack(quick, quick.publish(0))
    group = quick.watches[EDS].group

    assert len(group._log) <= 20
    assert set(slow.watches[EDS].divergence or ()) <= {"e0", "e1"}
    assert "EDS not acknowledged" in unconverged([slow], shop.revision, 0) or slow.scope.legacy_wildcard
    last = shop.ack(slow, slow.receive(request(EDS, response_nonce=stuck[0].nonce), 0))
    assert {one.version for one in last[-1].resources} >= {resource(EDS, "e0", 499).version}


def test_the_last_one_out_takes_everything_along(shop):
    sessions = [shop.stream(), shop.stream(names=["e1"])]
    for session in sessions:
        session.close()
        session.close()

    assert shop.catalog._composites == {}
    assert shop.catalog._views == {}
    assert shop.catalog._bundles["b"].shelves[EDS].all_readers() == set()
    assert shop.catalog.owners == set()


def test_bundles_that_nobody_fills_or_reads_are_gone(shop):
    session = shop.stream(scope=Scope("q", ("empty", "b")))
    assert "empty" in shop.catalog._bundles
    session.close()
    shop.publish(removals=[(EDS, name) for name in NAMES])

    assert shop.catalog._bundles == {}


@pytest.mark.pitfall("P31")
def test_a_name_in_two_bundles_is_one_resource(shop):
    shop.publish(resource(CDS, "both"))
    shop.publish(resource(CDS, "both"), bundle="c")
    session = shop.stream(CDS, [], Scope("p", ("b", "c")))
    group = session.watches[CDS].group
    shop.publish(removals=[(CDS, "both")])

    assert session.publish(0) == []
    shop.publish(removals=[(CDS, "both")], bundle="c")
    (send,) = session.publish(0)
    assert send.removed == ("both",)
    assert (group.sum, group.count) == (0, 0)


def test_a_mask_may_say_what_is_seen_and_no_more(shop):
    frozen = Mask(only=frozenset({(EDS, "e1"), (EDS, "e2")}), hidden=frozenset({(EDS, "e2")}))
    session = shop.stream(scope=Scope("p", ("b",), mask=frozen))

    assert [one.name for one in session.watches[EDS].group.existing().upserts] == ["e1"]
    assert shop.publish(resource(EDS, "e2", 5), resource(EDS, "e9", 5)) == set()
    assert shop.publish(resource(EDS, "e1", 5)) == {session}


def test_in_both_lists_of_an_update_it_is_there_after_it(shop):
    session = shop.stream()
    shop.publish(resource(EDS, "e1", 2), removals=[(EDS, "e1")])
    (send,) = session.publish(0)

    assert ([one.name for one in send.resources], send.removed) == (["e1"], ())


def test_what_a_stream_holds_does_not_grow_with_what_it_asks_for(shop):
    """At a thousand names a dictionary of versions would be 100 KB; a stream that is up to date has none."""
    session = shop.stream()
    shop.publish(*(resource(EDS, name, 2) for name in NAMES))
    shop.ack(session, session.publish(0))
    watch = session.watches[EDS]
    own = [
        getattr(watch, slot)
        for slot in watch.__slots__
        if slot not in ("composite", "group", "owner", "subscription", "type")
    ]

    assert not any(isinstance(value, dict | set | list) and value for value in own)


def test_what_was_put_together_for_all_is_put_together_anew_when_a_cluster_goes(shop):
    """The endpoints of a cluster without an assignment are empty as long as there is the cluster."""
    shop.publish(Resource.of(CDS, "bare", wire.text(1, "bare") + b"\x10\x03"))
    sessions = [shop.stream(names=["bare"]) for _ in range(3)]
    assert [one.name for one in sessions[0].watches[EDS].group.full().upserts] == ["bare"]
    shop.publish(removals=[(CDS, "bare")])

    late = Session(shop.catalog, DELTA, stream="late")
    late.receive(request(EDS, "bare"), 0)
    (send,) = [action for action in late.authorize(SCOPE, 0) if isinstance(action, Send)]
    assert (send.resources, send.removed) == ((), ("bare",))
