"""What a stream may ask for, and that nothing is kept of what it may not."""

import pytest

from tsunagu.v1 import discovery_pb2 as xds
from tsunagu.xds import wire
from tsunagu.xds.actions import Acked, Close, Hello, Send, Stale, Subscribed
from tsunagu.xds.bundle import BundleUpdate, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.requests.limits import RequestLimits
from tsunagu.xds.resources import CDS, EDS, RDS, Resource
from tsunagu.xds.session import Session
from tsunagu.xds.sotw import SOTW

SMALL = RequestLimits(node_length=100, name_length=10, names=5, names_length=30, types=3, client_names=8)
NODE = xds.Node(id="p")

both = pytest.mark.parametrize("variant", [DELTA, SOTW], ids=["delta", "sotw"])


class Stream:
    """A session with small limits, and requests of either variant to it."""

    def __init__(self, variant, limits=SMALL):
        self.catalog = Catalog()
        self.catalog.publish([BundleUpdate("b", (resource(RDS, "r"), resource(EDS, "e")))], 1, "start")
        self.catalog.mark_synced()
        self.variant = variant
        self.session = Session(self.catalog, variant, limits=limits)
        self.nonce = ""

    def ask(self, url, *names, **fields):
        if self.variant is DELTA:
            request = xds.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=names, **fields)
        else:
            request = xds.DiscoveryRequest(type_url=url, resource_names=names, **fields)
        return self.session.receive(request.SerializeToString(), 0.0)

    def open(self):
        """The first request, of no names, and its authorization."""
        (hello,) = self.ask(CDS, node=NODE)
        assert isinstance(hello, Hello)
        self.session.authorize(Scope("p", ("b",)), 0.0)
        return self

    @property
    def groups(self):
        return sum(len(view.groups) for view in self.catalog._views.values())


def resource(url, name):
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, "body"))


def refused(actions, code, words):
    (close,) = actions
    assert isinstance(close, Close)
    assert close.code == code
    assert words in close.message
    assert "x" * 11 not in close.message, "what the client sent is not repeated"


@both
def test_a_name_has_a_length(variant):
    stream = Stream(variant).open()

    assert any(isinstance(action, Subscribed) for action in stream.ask(EDS, "x" * 10))
    refused(stream.ask(RDS, "x" * 11), "INVALID_ARGUMENT", "a name of more than 10 characters")


@both
def test_names_have_a_number_all_types_together(variant):
    stream = Stream(variant).open()
    stream.ask(EDS, "1", "2", "3")

    assert any(isinstance(action, Subscribed) for action in stream.ask(RDS, "4", "5", "5", "4"))
    refused(stream.ask(EDS, "1", "2", "3", "6"), "RESOURCE_EXHAUSTED", "more than 5 names")


@both
def test_names_have_a_size_together(variant):
    stream = Stream(variant).open()

    assert any(isinstance(action, Subscribed) for action in stream.ask(EDS, "a" * 10, "b" * 10, "c" * 10))
    refused(stream.ask(EDS, "a" * 10, "b" * 10, "c" * 10, "d"), "RESOURCE_EXHAUSTED", "30 characters")


@both
def test_the_names_of_a_client_have_a_number_all_streams_together(variant):
    stream = Stream(variant).open()
    stream.session.names_elsewhere = 5

    assert any(isinstance(action, Subscribed) for action in stream.ask(EDS, "1", "2", "3"))
    refused(stream.ask(RDS, "4"), "RESOURCE_EXHAUSTED", "more than 8 names")


def test_a_first_request_is_measured_once_it_is_known_which_client_it_is():
    stream = Stream(DELTA)
    stream.ask(EDS, "1", "2", "3", "4", node=NODE)
    stream.session.names_elsewhere = 5

    refused(stream.session.authorize(Scope("p", ("b",)), 0.0), "RESOURCE_EXHAUSTED", "more than 8 names")


def test_names_that_come_and_go_one_by_one_are_not_too_many():
    stream = Stream(DELTA).open()
    for number in range(20):
        actions = stream.ask(EDS, str(number), resource_names_unsubscribe=[str(number - 1)])
        assert any(isinstance(action, Subscribed) for action in actions)


def test_names_asked_for_again_count_once():
    stream = Stream(DELTA).open()
    stream.ask(EDS, "1", "2", "3", "4", "5")

    assert any(isinstance(action, Subscribed) for action in stream.ask(EDS, "1", "2", "3", "4", "5"))


def test_what_a_client_says_that_it_has_is_measured_too():
    refused(
        Stream(DELTA).open().ask(EDS, initial_resource_versions={"x" * 11: "1"}), "INVALID_ARGUMENT", "10 characters"
    )
    refused(
        Stream(DELTA).open().ask(EDS, initial_resource_versions={"1": "x" * 11}), "INVALID_ARGUMENT", "10 characters"
    )
    many = dict.fromkeys("123456", "1")
    refused(Stream(DELTA).open().ask(EDS, initial_resource_versions=many), "RESOURCE_EXHAUSTED", "more than 5 names")


@both
def test_types_have_a_number_and_a_length(variant):
    stream = Stream(variant).open()
    stream.ask(EDS, "1")
    stream.ask(RDS, "1")

    refused(stream.ask("type.googleapis.com/one.more", "1"), "RESOURCE_EXHAUSTED", "more than 3 types")
    refused(Stream(variant).open().ask("x" * 257, "1"), "INVALID_ARGUMENT", "type_url")


@both
@pytest.mark.parametrize(
    "node",
    [
        xds.Node(id="p", user_agent_name="x" * 101),
        xds.Node(id="p", client_features=["x" * 60, "x" * 60]),
        xds.Node(id="p", cluster="x" * 101),
    ],
    ids=["user agent", "features", "cluster"],
)
def test_a_node_has_a_size(variant, node):
    refused(Stream(variant).ask(CDS, node=node), "RESOURCE_EXHAUSTED", "a node with more than 100 characters")


@both
def test_a_node_id_is_a_name(variant):
    refused(Stream(variant).ask(CDS, node=xds.Node(id="x" * 11)), "INVALID_ARGUMENT", "a node id of more than 10")


@both
def test_a_nonce_has_a_length(variant):
    refused(Stream(variant).open().ask(EDS, "1", response_nonce="x" * 11), "INVALID_ARGUMENT", "a nonce")


@both
def test_nothing_is_kept_of_what_was_refused(variant):
    stream = Stream(variant).open()
    stream.ask(EDS, "1", "2")
    held, groups = stream.session.held, stream.groups
    for actions in (
        stream.ask(EDS, "1", "2", "3", "4", "5", "6"),
        stream.ask(RDS, "x" * 11),
        stream.ask(RDS, "1", "2", "3", "4", "5", "6"),
    ):
        assert isinstance(actions[0], Close)

    assert (stream.session.held, stream.groups) == (held, groups)
    assert RDS not in stream.session.watches


def test_a_refused_first_request_is_not_kept():
    stream = Stream(DELTA)
    refused(stream.ask(EDS, "x" * 11, node=NODE), "INVALID_ARGUMENT", "a name")
    refused(stream.ask(EDS, "1"), "INVALID_ARGUMENT", "a node with an id")

    assert stream.session._first == []


def test_many_names_are_handled_in_slices_between_which_others_can_be_served():
    stream = Stream(DELTA, RequestLimits(first_slice=3, slice=2)).open()

    assert in_slices(stream, "01234567") == ["012", "34", "56", "7"], "streams share the answer to a first request"
    assert in_slices(stream, "abc") == ["ab", "c"]
    assert stream.session.held == 11


def in_slices(stream, names):
    """The names that the client is told of, slice by slice."""
    slices = [stream.ask(RDS, *names)]
    while stream.session.unfinished:
        slices.append(stream.session.proceed(0.0))
    return ["".join(sorted(action.removed)) for part in slices for action in part if isinstance(action, Send)]


@both
@pytest.mark.parametrize("field", [3, 4, 5])
def test_millions_of_empty_names_are_refused_before_they_are_parsed(variant, field, monkeypatch):
    stream = Stream(variant, RequestLimits()).open()
    monkeypatch.setattr(type(variant), "decode", lambda *_: pytest.fail("it was parsed"))
    empty = bytes((field << 3 | 2, 0))

    refused(stream.session.receive(empty * 5_000_000, 0.0), "RESOURCE_EXHAUSTED", "names in one request")


@both
def test_as_many_names_as_are_allowed_are_not_too_many_bytes(variant):
    stream = Stream(variant, RequestLimits()).open()
    names = [f"{number:026d}" for number in range(25_000)]  # whose length looks like the beginning of a name

    assert any(isinstance(action, Subscribed) for action in stream.ask(EDS, *names))


def test_what_is_unsubscribed_from_is_counted_too():
    stream = Stream(DELTA).open()
    refused(stream.ask(EDS, resource_names_unsubscribe=list("123456")), "RESOURCE_EXHAUSTED", "more than 5 names")


def test_a_slice_that_is_an_ack_is_one_once():
    stream = Stream(DELTA, RequestLimits(slice=2)).open()
    (send,) = [action for action in stream.ask(EDS, "e") if isinstance(action, Send)]
    actions = stream.ask(EDS, "1", "2", "3", response_nonce=send.nonce)
    while stream.session.unfinished:
        actions += stream.session.proceed(0.0)

    assert len([action for action in actions if isinstance(action, Acked)]) == 1
    assert not [action for action in actions if isinstance(action, Stale)], "the others answer nothing"
