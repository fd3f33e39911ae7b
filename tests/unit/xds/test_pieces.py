"""Large states leave in several responses where the protocol allows it: gRPC's clients refuse more than 4 MB by default."""

from __future__ import annotations

import pytest

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.actions import Acked, Nacked, Send
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.inspection.status import type_state
from tsunagu.xds.resources import CDS, EDS, RDS, SDS, Resource
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW

CLIENTS_LIMIT = 4 << 20
NAMES = [f"r{number}" for number in range(600)]


def resource(url: str, name: str, size: int = 10_000, content: int = 1) -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.delimited(99, bytes([content]) * size))


class Client:
    def __init__(self, variant, *made: Resource) -> None:
        self.catalog = Catalog()
        self.catalog.synced = True
        self.variant = variant
        self.catalog.publish([BundleUpdate("b", made)], 1, "first")
        self.session = Session(self.catalog, variant)

    def ask(self, url: str, names=(), nonce: str = "", error: str = "") -> list:
        if self.variant is SOTW:
            message = discovery_pb2.DiscoveryRequest(type_url=url, resource_names=names, response_nonce=nonce)
        else:
            added = () if nonce else names
            message = discovery_pb2.DeltaDiscoveryRequest(
                type_url=url, resource_names_subscribe=added, response_nonce=nonce
            )
        message.node.id = "p"
        if error:
            message.error_detail.message = error
        actions = self.session.receive(message.SerializeToString(), 0)
        if self.session.scope is None:
            actions = self.session.authorize(Scope("p", ("b",)), 0)
        while self.session.unfinished:  # of a request with many names
            actions += self.session.proceed(0)
        return actions


def sends(actions: list) -> list[Send]:
    return [action for action in actions if isinstance(action, Send)]


@pytest.mark.case(155)
@pytest.mark.variant("sotw")
@pytest.mark.parametrize("url", [RDS, EDS, SDS])
@pytest.mark.parametrize("variant", [SOTW, DELTA], ids=lambda variant: variant.name)
def test_six_megabytes_leave_in_messages_that_every_client_takes(variant, url):
    client = Client(variant, *(resource(url, name) for name in NAMES))
    found = sends(client.ask(url, NAMES))

    assert len(found) >= 2
    assert max(len(send.payload) for send in found) <= CLIENTS_LIMIT
    assert sorted(one.name for send in found for one in send.resources) == sorted(NAMES)
    for send in found:
        (acked,) = client.ask(url, NAMES, send.nonce)
        assert isinstance(acked, Acked)
    assert type_state(client.session.watches[url], (), 0).state == "SYNCED"


@pytest.mark.case(155)
@pytest.mark.variant("sotw")
def test_a_change_of_everything_leaves_in_pieces_too():
    client = Client(SOTW, *(resource(RDS, name) for name in NAMES))
    for send in sends(client.ask(RDS, NAMES)):
        client.ask(RDS, NAMES, send.nonce)
    client.catalog.publish([BundleUpdate("b", tuple(resource(RDS, name, content=2) for name in NAMES))], 2, "all")
    found = sends(client.session.publish(0))

    assert max(len(send.payload) for send in found) <= CLIENTS_LIMIT
    assert {one.name for send in found for one in send.resources} == set(NAMES)


@pytest.mark.case(155)
@pytest.mark.variant("sotw")
def test_a_piece_that_is_refused_is_refused_alone():
    client = Client(SOTW, *(resource(RDS, name) for name in NAMES))
    first, second, *_ = sends(client.ask(RDS, NAMES))
    nacked = client.ask(RDS, NAMES, first.nonce, error=f"{first.resources[0].name}: no")
    acked = client.ask(RDS, NAMES, second.nonce)

    assert isinstance(nacked[0], Nacked)
    assert nacked[0].names == (first.resources[0].name,)
    assert isinstance(acked[0], Acked)


def test_a_whole_state_is_one_message_whatever_its_size():
    """What is left out of a response of clusters is deleted: it cannot be split."""
    client = Client(SOTW, *(resource(CDS, name) for name in NAMES))
    (send,) = sends(client.ask(CDS))

    assert len(send.resources) == len(NAMES)


def test_what_is_larger_than_a_piece_is_one_of_its_own():
    client = Client(SOTW, *(resource(RDS, name, 3 << 20) for name in "abc"))

    assert [[one.name for one in send.resources] for send in sends(client.ask(RDS, "abc"))] == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("variant", [SOTW, DELTA], ids=lambda variant: variant.name)
def test_names_that_nobody_has_are_answered_some_at_a_time(variant):
    """Thousands of them would hold up every other stream."""
    client = Client(variant, resource(CDS, "c", 1))
    client.ask(CDS)
    asked = [f"n{number}" for number in range(1200)]
    found = sends(client.ask(EDS, asked))
    answered = [one.name for send in found for one in send.resources]
    assert variant is DELTA or len(answered) == 500  # in delta the request itself is handled in slices
    for _ in range(3):
        acks = [action for send in found for action in client.ask(EDS, asked, send.nonce)]
        found = sends(acks) or sends(client.session.tick(0))
        assert all(len(send.resources) <= 500 for send in found)
        answered += [one.name for send in found for one in send.resources]

    assert sorted(answered) == sorted(asked)
