"""Clusters and endpoints of one moment, memory that comes back, and requests of any bytes: sessions without a server."""

from __future__ import annotations

import gc
import os
import random
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.actions import Close, Hello, Send
from tsunagu.xds.bodies.references import references
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.requests.decode import BadRequest, decode_delta, decode_sotw
from tsunagu.xds.resources import CDS, EDS, TYPES, BadResource, Resource, empty_endpoints
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW

FUZZ_SECONDS = float(os.environ.get("TSUNAGU_FUZZ_SECONDS", "3"))
VARIANTS = pytest.mark.parametrize("variant", [DELTA, SOTW], ids=lambda one: one.name)
REQUESTS = {"delta": discovery_pb2.DeltaDiscoveryRequest, "sotw": discovery_pb2.DiscoveryRequest}
DECODERS = {"delta": decode_delta, "sotw": decode_sotw}


def made(url: str, name: str, epoch: int) -> Resource:
    body = wire.text(1, name)
    if url == CDS:
        body += b"\x10\x03" + wire.delimited(3, wire.text(2, name))
    return Resource.of(url, name, body + wire.text(99, str(epoch)))


class Client:
    """ACKs all that it is sent, and remembers the epoch of each resource in the order of the wire."""

    def __init__(self, catalog: Catalog, variant) -> None:
        self.session = Session(catalog, variant)
        self.kind = REQUESTS[variant.name]
        self.has: dict[tuple[str, str], int] = {}

    def say(self, **fields) -> None:
        self.take(self.session.receive(self.kind(node={"id": "p"}, **fields).SerializeToString(), 0.0))

    def subscribe(self, url: str, *names: str) -> None:
        field = "resource_names_subscribe" if self.kind is REQUESTS["delta"] else "resource_names"
        self.names = names or getattr(self, "names", ())
        self.say(type_url=url, **{field: names})

    def take(self, actions) -> None:
        sends = [action for action in actions if isinstance(action, Send)]
        for action in actions:
            if isinstance(action, Hello):
                self.take(self.session.authorize(Scope("p", ("b",)), 0.0))
        for send in sends:
            for resource in send.resources:
                if resource != empty_endpoints(resource.name):  # there are none yet
                    self.has[send.type_url, resource.name] = int(resource.body[-3:])
        for send in sends:
            sotw = {"resource_names": self.names} if self.kind is REQUESTS["sotw"] and send.type_url == EDS else {}
            self.say(type_url=send.type_url, response_nonce=send.nonce, **sotw)


@pytest.mark.pitfall("P16")
@VARIANTS
def test_after_each_change_no_cluster_is_newer_than_its_endpoints(variant):
    chance = random.Random(7)
    catalog = Catalog()
    catalog.synced = True
    names = ("a", "b", "c")
    client = Client(catalog, variant)
    client.subscribe(CDS)
    client.subscribe(EDS, *names)
    for epoch in range(100, 400):
        changed = chance.sample(names, chance.randint(1, 3))
        both = tuple(made(url, name, epoch) for name in changed for url in chance.sample((CDS, EDS), 2))
        for session in catalog.publish([BundleUpdate("b", both)], epoch, "change"):
            client.take(session.publish(0.0))
        for name in changed:
            assert (client.has[CDS, name], client.has[EDS, name]) == (epoch, epoch)


@pytest.mark.pitfall("P30")
@VARIANTS
def test_memory_comes_back_when_a_mesh_shrinks(variant):
    catalog = Catalog()
    catalog.synced = True
    client = Client(catalog, variant)
    client.subscribe(CDS)
    sizes = []
    tracemalloc.start(1)
    try:
        for revision in range(1, 10, 2):
            names = [f"c{number}" for number in range(2000)]
            up = BundleUpdate("b", tuple(made(CDS, name, 100) for name in names))
            for update, at in (
                (up, revision),
                (BundleUpdate("b", (), tuple((CDS, one) for one in names)), revision + 1),
            ):
                for session in catalog.publish([update], at, "scaled"):
                    client.take(session.publish(0.0))
            client.has.clear()
            del up, update
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[-1] - sizes[0] < 200_000, sizes


@pytest.mark.case("24")
@pytest.mark.parametrize("wild", [True, False], ids=["beside a wildcard", "by name"])
def test_names_asked_for_one_by_one_leave_no_trail(wild):
    catalog = Catalog()
    catalog.synced = True
    client = Client(catalog, DELTA)
    client.subscribe(CDS, *([] if wild else ["first"]))
    for number in range(300):
        client.subscribe(CDS, f"on-demand-{number}")
    held = len(catalog.names._sets)
    client.session.close()
    del client
    gc.collect()
    assert (held, len(catalog.names._sets)) == (2, 1)  # what is asked for and nothing; in the end nothing alone


def requests(name: str):
    """Requests that are almost right: valid ones of any content, and these cut, doubled and overwritten."""
    words = st.sampled_from(["", "*", "a", "b", "x" * 300, "é", "\x00", "1-1", *TYPES, "type.googleapis.com/acme.T"])
    fields = {"type_url": words, "response_nonce": words}
    lists = st.lists(words, max_size=5)
    if name == "delta":
        fields |= {"resource_names_subscribe": lists, "resource_names_unsubscribe": lists,
                   "initial_resource_versions": st.dictionaries(words, words, max_size=3)}  # fmt: skip
    else:
        fields |= {"resource_names": lists, "version_info": words}
    node = st.none() | st.builds(lambda one: discovery_pb2.Node(id=one), words)
    error = st.none() | st.builds(lambda text: discovery_pb2.Status(code=13, message=text), words)
    valid = st.builds(REQUESTS[name], node=node, error_detail=error, **fields).map(lambda one: one.SerializeToString())
    cut = st.builds(
        lambda one, at, more: one[:at] + more + one[at + 1 :], valid, st.integers(0, 60), st.binary(max_size=4)
    )
    return st.one_of(valid, cut, st.binary(max_size=200))


def fuzz(test, *strategies) -> None:
    """Runs the test for TSUNAGU_FUZZ_SECONDS, with other examples in each round."""
    end = time.monotonic() + FUZZ_SECONDS
    seed = 0
    while time.monotonic() < end:
        chosen = settings(
            max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )  # fmt: skip
        seeded(seed)(chosen(given(*strategies)(test)))()
        seed += 1


@pytest.mark.timeout(FUZZ_SECONDS * 2 + 60)
@VARIANTS
def test_any_bytes_are_a_request_or_are_refused(variant):
    """Never anything but BadRequest from the decoder; never anything but actions from the session."""
    decode = DECODERS[variant.name]

    def one(messages: list[bytes]) -> None:
        catalog = Catalog()
        catalog.synced = True
        catalog.publish([BundleUpdate("b", (made(CDS, "a", 100), made(EDS, "a", 100)))], 1, "start")
        session = Session(catalog, variant)
        for message in messages:
            try:
                decode(message)
            except BadRequest:
                assert isinstance(session.receive(message, 0.0)[0], Close)
                break
            actions = session.receive(message, 0.0)
            if actions and isinstance(actions[0], Hello):
                actions = session.authorize(Scope("p", ("b",)), 0.0)
            if any(isinstance(action, Close) for action in actions):
                break
        session.close()
        assert catalog.owners == set()
        assert catalog._composites == {}

    fuzz(one, st.lists(requests(variant.name), max_size=8))


@pytest.mark.parametrize("url", TYPES)
@given(data=st.binary(max_size=64))
@example(data=b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_bytes_may_be_a_resource(url, data):
    """What is no message is the client's to refuse: reading it for names and references says so by no other error."""
    try:
        resource = Resource.of(url, "x", data)
    except BadResource:
        return
    assert resource.eds_name in ("", "x") or url == CDS
    assert isinstance(references(resource), tuple)
