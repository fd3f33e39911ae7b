"""Resource by resource: has it, is being sent it, was not sent it, refused it."""

import pytest

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.actions import Send
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.inspection.inventory import inventory
from tsunagu.xds.inspection.status import type_state
from tsunagu.xds.resources import CDS, EDS, LDS, SDS, Resource
from tsunagu.xds.session import Session


class Stream:
    def __init__(self):
        self.catalog = Catalog()
        self.catalog.synced = True
        self.session = Session(self.catalog, DELTA)
        self.now = 0.0
        self.revision = 0

    def publish(self, *upserts, removals=(), flush=True):
        self.revision += 1
        touched = self.catalog.publish([BundleUpdate("b", upserts, tuple(removals))], self.revision, "test")
        return [one for session in touched for one in session.publish(self.now) if flush]

    def ask(self, url, *names, **fields):
        message = discovery_pb2.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=names, **fields)
        message.node.id = "p"
        actions = self.session.receive(message.SerializeToString(), self.now)
        if self.session.scope is None:
            actions = self.session.authorize(Scope("p", ("b",)), self.now)
        return [action for action in actions if isinstance(action, Send)]

    def ack(self, *sends):
        return [one for send in sends for one in self.ask(send.type_url, response_nonce=send.nonce)]

    def states(self, url):
        return {one.name: (one.state, one.age) for one in inventory(self.session.watches[url], self.now)}


@pytest.fixture
def stream():
    return Stream()


def resource(url, name, content=1):
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, str(content)))


def cluster(name):
    return Resource.of(CDS, name, wire.text(1, name) + wire.varint(2 << 3) + wire.varint(3))


@pytest.mark.case(139)
def test_in_flight_is_stale_since_it_was_sent(stream):
    stream.publish(resource(LDS, "a"), resource(LDS, "b"))
    stream.ack(*stream.ask(LDS))
    stream.now = 10.0
    stream.publish(resource(LDS, "b", 2))
    stream.now = 12.0

    assert stream.states(LDS) == {"a": ("SYNCED", 2.0), "b": ("STALE", 2.0)}


def test_a_change_behind_an_unanswered_one_is_stale_and_a_new_name_not_sent(stream):
    stream.publish(resource(EDS, "a"))
    stream.ask(EDS, "a", "b")
    stream.publish(resource(EDS, "a", 2), resource(EDS, "b"))
    stream.now = 1.0
    assert {name: state for name, (state, _) in stream.states(EDS).items()} == {"a": "STALE", "b": "STALE"}
    before = stream.catalog
    before.synced = False  # nothing is sent: it stays in the log
    stream.publish(resource(EDS, "c"))
    stream.ask(EDS, "c")
    assert stream.states(EDS)["c"][0] == "NOT_SENT"


def test_a_change_and_back_is_no_difference(stream):
    stream.publish(resource(LDS, "a"))
    stream.ack(*stream.ask(LDS))
    stream.catalog.synced = False
    stream.publish(resource(LDS, "a", 2))
    assert stream.states(LDS)["a"][0] == "STALE"
    stream.publish(resource(LDS, "a", 1))
    assert stream.states(LDS)["a"][0] == "SYNCED"


def test_endpoints_of_a_cluster_that_has_none_are_an_empty_assignment(stream):
    stream.publish(cluster("c"))
    stream.ack(*stream.ask(CDS))
    stream.ack(*stream.ask(EDS, "c"))
    [one] = inventory(stream.session.watches[EDS], 0)
    assert (one.state, one.shown) == ("SYNCED", wire.text(1, "c"))


def test_a_secret_is_not_shown_but_its_version_is(stream):
    stream.publish(resource(SDS, "s"))
    stream.ack(*stream.ask(SDS, "s"))
    [one] = inventory(stream.session.watches[SDS], 0)
    assert (one.shown, one.version) == (b"", resource(SDS, "s").version)


@pytest.mark.case(139)
def test_what_waits_for_another_types_answer_is_as_old_as_that(stream):
    """A listener beside a cluster that warms is held back for a moment: not "STALE for 2 h" because it was quiet."""
    stream.ack(*stream.ask(CDS))
    stream.ack(*stream.ask(LDS))
    stream.now = 7200.0
    sends = stream.publish(cluster("c"), resource(LDS, "l"))
    assert [send.type_url for send in sends if isinstance(send, Send)] == [CDS]
    stream.now = 7200.5

    state = type_state(stream.session.watches[LDS], stream.session.watches.values(), stream.now)
    assert (state.state, state.age) == ("STALE", 0.5)
    assert stream.states(LDS)["l"][0] == "NOT_SENT"
