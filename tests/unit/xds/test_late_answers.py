"""Answers to responses that were merged or superseded meanwhile: a client that answered none for a while answers all."""

from __future__ import annotations

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.actions import Nacked, Send, Stale
from tsunagu.xds.answers import OUTSTANDING_LIMIT
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.resources import CDS, Resource
from tsunagu.xds.session import Session


def cluster(name: str, content: str = "1") -> Resource:
    return Resource.of(CDS, name, wire.text(1, name) + wire.text(99, content))


class Warming:
    """An Envoy that answers no response for clusters, since one of them warms."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.catalog.synced = True
        self.session = Session(self.catalog, DELTA)
        self.now = 0.0
        self.revision = 0
        self.nonces: list[str] = []
        self.say(discovery_pb2.DeltaDiscoveryRequest(type_url=CDS))
        self.answer(self.nonces.pop())

    def say(self, request: discovery_pb2.DeltaDiscoveryRequest) -> list:
        request.node.id = "p"
        actions = self.session.receive(request.SerializeToString(), self.now)
        if self.session.scope is None:
            actions = self.session.authorize(Scope("p", ("b",)), self.now)
        return self.note(actions)

    def note(self, actions: list) -> list:
        self.nonces += [action.nonce for action in actions if isinstance(action, Send)]
        return actions

    def answer(self, nonce: str, error: str = "") -> list:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=CDS, response_nonce=nonce)
        if error:
            request.error_detail.message = error
        return self.say(request)

    def publish(self, *resources: Resource) -> None:
        self.revision += 1
        self.catalog.publish([BundleUpdate("b", resources)], self.revision, "change")
        self.note(self.session.publish(self.now))

    @property
    def refused(self) -> set[str]:
        return set(self.session.watches[CDS].current_rejections())


def test_a_superseded_response_that_is_refused_late_refuses_nothing_of_those_that_were_merged():
    envoy = Warming()
    envoy.publish(cluster("fixed", "bad"))
    envoy.now += 0.3  # the correction overtakes
    envoy.publish(cluster("fixed", "good"))
    for number in range(OUTSTANDING_LIMIT + 8):
        envoy.publish(cluster(f"c{number}"))
        envoy.now += 0.3
    superseded, overtaking, *rest = envoy.nonces

    (stale,) = envoy.answer(superseded, "Error adding/updating cluster(s) fixed: no good")
    assert isinstance(stale, Stale)
    for nonce in (overtaking, *rest):
        envoy.answer(nonce)
    assert not envoy.refused


def test_a_merged_response_that_is_refused_late_refuses_what_it_names():
    envoy = Warming()
    for number in range(OUTSTANDING_LIMIT + 8):
        envoy.publish(cluster(f"c{number}"))
        envoy.now += 0.3
    first, *rest = envoy.nonces

    (nacked,) = envoy.answer(first, "Error adding/updating cluster(s) c0: no good")
    assert isinstance(nacked, Nacked)
    assert nacked.names == ("c0",)
    for nonce in rest:
        envoy.answer(nonce)
    assert envoy.refused == {"c0"}


def test_what_was_merged_can_be_refused_with_the_response_that_it_was_merged_into():
    envoy = Warming()
    for number in range(OUTSTANDING_LIMIT + 8):
        envoy.publish(cluster(f"c{number}"))
        envoy.now += 0.3
    oldest, *rest = envoy.nonces[-OUTSTANDING_LIMIT:]

    envoy.answer(oldest, "Error adding/updating cluster(s) c0: no good")
    for nonce in rest:
        envoy.answer(nonce)
    assert envoy.refused == {"c0"}
