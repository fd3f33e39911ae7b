"""What operators and the barrier are told."""

from __future__ import annotations

import pytest

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.actions import Send
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.inspection.status import type_state, unconverged
from tsunagu.xds.requests.nack import reason, refused_names
from tsunagu.xds.resources import CDS, LDS, RDS, Resource
from tsunagu.xds.session import Session


@pytest.mark.parametrize(
    ("message", "names", "refused"),
    [
        ("Error adding/updating cluster(s) P: why, Q: why", "P Q R", "P Q"),
        ("Error adding/updating listener(s) bad: cannot bind '127.0.0.1:18081': in use", "bad ba", "bad"),
        ("Error adding/updating listener(s) alias/shop/api:80: no", "alias/shop/api:80 alias/shop/api alias/shop", "alias/shop/api:80"),
        ("Unexpected EDS cluster (expecting api): other", "api other-one", "api"),
        ("Proto constraint validation failed (Cluster.Name)", "a b", "a b"),
        ("a.b is bad", "a a.b b", "a.b"),
        ("a is bad.", "a b", "a"),
        ("Error adding/updating cluster(s) svc/a: type is wrong", "svc/a cluster type wrong", "svc/a"),
        ('Error adding/updating cluster(s) a: goo.gle/debugstr \nname: "b"\n: no', "a b", "a"),
        ("", "a", "a"),
    ],
)  # fmt: skip
@pytest.mark.case(67)
def test_a_nack_is_about_the_names_that_it_mentions(message, names, refused):
    assert refused_names(message, names.split()) == tuple(sorted(refused.split()))


@pytest.mark.case(67)
def test_a_name_with_spaces_is_found_and_so_are_all_of_many():
    assert refused_names("my cluster is bad", ["my cluster", "other"]) == ("my cluster",)
    many = [f"service-{number}" for number in range(2000)]
    message = "Error adding/updating cluster(s) " + ", ".join(f"{name}: {'why ' * 10}" for name in many)
    assert refused_names(message, [*many, "why"]) == tuple(sorted(many))


ECHO = 'goo.gle/debugproto    \nname: "l"\nfilter_chains {\n  key: "MIIE\\nx"\n}\n'


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            ECHO + ": Proto constraint validation failed (Name)",
            "[its content]: Proto constraint validation failed (Name)",
        ),
        ("Unable to unpack as X: " + ECHO, "Unable to unpack as X: [its content]"),
        ("a: " + ECHO + ": first, b: " + ECHO + ": second", "a: [its content]: first, b: [its content]: second"),
        ("listener(s) l: no address\n", "listener(s) l: no address\n"),
        ("x" * 5000, "x" * 4096 + " ..."),
        ("", ""),
    ],
)
@pytest.mark.case(137)
def test_of_a_nack_only_the_reason_is_kept(message, words):
    assert reason(message) == words


class Stream:
    def __init__(self, *, legacy: bool = True) -> None:
        self.catalog = Catalog()
        self.catalog.synced = True
        self.session = Session(self.catalog, DELTA)
        self.legacy = legacy
        self.now = 0.0

    def publish(self, revision: int, *upserts: Resource) -> list[Send]:
        touched = self.catalog.publish([BundleUpdate("b", upserts)], revision, "test")
        return [action for session in touched for action in session.publish(self.now)]

    def ask(self, url: str, *names: str, **fields) -> list[Send]:
        message = discovery_pb2.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=names, **fields)
        message.node.id = "p"
        actions = self.session.receive(message.SerializeToString(), self.now)
        if self.session.scope is None:
            actions = self.session.authorize(Scope("p", ("b",), self.legacy), self.now)
        return [action for action in actions if isinstance(action, Send)]

    def ack(self, *sends: Send) -> None:
        for send in sends:
            self.ack(*self.ask(send.type_url, response_nonce=send.nonce))

    def lacks(self, revision: int) -> str:
        return unconverged([self.session], revision, self.now)

    def state(self, url: str) -> tuple[str, float]:
        state = type_state(self.session.watches[url], self.session.watches.values(), self.now)
        return state.state, state.age


def resource(url: str, name: str, content: int = 1) -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, str(content)))


def test_a_proxy_that_starts_has_not_asked_for_listeners_yet():
    stream = Stream()
    stream.ack(*stream.ask(CDS))
    assert stream.lacks(0) == "LDS not asked for"
    stream.ack(*stream.ask(LDS))

    assert stream.lacks(0) == ""


def test_a_client_of_names_has_all_that_it_asked_for():
    stream = Stream(legacy=False)
    stream.publish(1, resource(RDS, "r"))
    (send,) = stream.ask(RDS, "r")
    assert stream.lacks(1) == "RDS not acknowledged for 0.0 s"
    stream.ack(send)

    assert stream.lacks(1) == ""


def test_a_later_change_does_not_undo_an_earlier_revision():
    stream = Stream(legacy=False)
    stream.publish(1, resource(RDS, "r"))
    stream.ack(*stream.ask(RDS, "r"))
    (send,) = stream.publish(5, resource(RDS, "r", 2))

    assert [stream.lacks(revision) != "" for revision in (1, 4, 5, 6)] == [False, False, True, True]
    stream.ack(send)
    assert stream.lacks(6) == ""


def test_what_waits_behind_an_answer_counts_from_its_own_revision():
    stream = Stream(legacy=False)
    stream.publish(1, resource(RDS, "r"))
    stream.ack(*stream.ask(RDS, "r"))
    (first,) = stream.publish(2, resource(RDS, "r", 2))
    assert stream.publish(3, resource(RDS, "r", 3)) == []
    (second,) = stream.ask(RDS, response_nonce=first.nonce)

    assert [bool(stream.lacks(revision)) for revision in (2, 3)] == [False, True]
    stream.ack(second)
    assert stream.lacks(3) == ""


def test_before_it_is_sent_it_is_not_converged():
    stream = Stream(legacy=False)
    stream.catalog.synced = False
    stream.ask(RDS, "r")

    assert stream.lacks(0) == "RDS not sent yet"
    assert stream.state(RDS)[0] == "NOT_SENT"


@pytest.mark.case(139)
def test_states_and_their_ages():
    stream = Stream()
    stream.publish(1, resource(CDS, "c"))
    stream.now = 10.0
    (send,) = stream.ask(CDS)
    stream.now = 12.0
    assert stream.state(CDS) == ("STALE", 2.0)
    stream.ack(send)
    stream.now = 15.0
    assert stream.state(CDS) == ("SYNCED", 3.0)
    (send,) = stream.publish(2, resource(CDS, "c", 2))
    stream.ask(CDS, response_nonce=send.nonce, error_detail=discovery_pb2.Status(code=13, message="c: no"))
    stream.now = 16.0

    assert stream.state(CDS) == ("NACKED", 1.0)
    state = type_state(stream.session.watches[CDS], stream.session.watches.values(), stream.now)
    assert (state.rejected, state.error, state.resources) == (("c",), "c: no", 1)


@pytest.mark.case(137)
def test_a_nack_that_repeats_a_secret_is_about_its_resource_and_does_not_tell_it():
    stream = Stream()
    stream.publish(1, resource(LDS, "l"), resource(LDS, "m"))
    (send,) = stream.ask(LDS)
    error = discovery_pb2.Status(code=13, message=ECHO + ": no")
    message = discovery_pb2.DeltaDiscoveryRequest(type_url=LDS, response_nonce=send.nonce, error_detail=error)
    nacked = stream.session.receive(message.SerializeToString(), stream.now)[0]
    state = type_state(stream.session.watches[LDS], stream.session.watches.values(), stream.now)

    assert (nacked.names, nacked.error) == (("l",), "[its content]: no")
    assert (state.rejected, state.error) == (("l",), "[its content]: no")


def test_a_refused_empty_answer_is_a_refusal():
    """Envoy can be told to refuse too few clusters (minimum_clusters)."""
    stream = Stream()
    (send,) = stream.ask(CDS)
    stream.ask(CDS, response_nonce=send.nonce, error_detail=discovery_pb2.Status(code=13, message="too few"))

    assert type_state(stream.session.watches[CDS], stream.session.watches.values(), 0).rejected == ("*",)
    stream.ack(*stream.publish(1, resource(CDS, "c")))
    assert stream.state(CDS)[0] == "SYNCED"
