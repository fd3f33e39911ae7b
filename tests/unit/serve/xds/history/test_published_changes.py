"""What was published and sent, and can still be shown: events of changes, messages with their bodies, what was before."""

import gc

import pytest

from tsunagu.serve.xds.history.published_changes import History
from tsunagu.serve.xds.history.shown_message import GONE, HEARTBEAT, KEPT, SECRET, Body, NoSuchEvent
from tsunagu.serve.xds.timeline import Event, Timeline
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.resources import CDS, EDS, LDS, SDS, Resource, empty_endpoints


def resource(name: str, content: str = "1", url: str = CDS) -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, content))


class Stage:
    """A catalog with its history, and streams that are sent what a test says."""

    def __init__(self) -> None:
        self.catalog, self.timeline = Catalog(), Timeline()
        self.history = History(self.timeline, lambda: 1.0)
        self.revision = 0

    def publish(self, *upserts: Resource, removed: tuple[tuple[str, str], ...] = ()) -> None:
        self.revision += 1
        updates = [BundleUpdate("b", upserts, removed)]
        self.history.publishing(self.catalog, updates, self.revision, f"change {self.revision}")
        self.catalog.publish(updates, self.revision, "")

    def record(self, kind: str, *sent: Resource, url: str = CDS, stream: str = "1", **fields) -> int:
        listing = tuple((one.name, one.version) for one in sent)
        fields = {"variant": "delta", **fields}
        event = Event(self.timeline.next_sequence, 1.0, f"p{stream}", url, kind, sent=listing, stream=stream, **fields)
        self.timeline.record(event)
        return event.sequence

    def message(self, sequence: int):
        return self.history.message(self.catalog, sequence)


@pytest.fixture
def stage():
    return Stage()


def test_a_change_is_an_event_for_each_type_in_the_order_in_which_types_are_sent(stage):
    stage.publish(resource("l", url=LDS), resource("a"), resource("b"))
    stage.publish(resource("a", "2"), removed=((LDS, "l"),))
    shown = [(one.kind, one.type, one.names, list(one.removed), one.revision) for one in stage.timeline.events()]

    assert shown == [
        ("publish", "CDS", ["a", "b"], [], 1),
        ("publish", "LDS", ["l"], [], 1),
        ("publish", "CDS", ["a"], [], 2),
        ("publish", "LDS", [], ["l"], 2),
    ]
    assert {one.proxy for one in stage.timeline.events()} == {""}


def test_a_revision_that_changes_nothing_is_no_event(stage):
    stage.publish()
    assert stage.timeline.events() == []


def test_of_a_large_change_the_first_names_are_kept(stage):
    stage.publish(*(resource(f"c{number}") for number in range(1200)))
    [event] = stage.timeline.events()
    assert (len(event.names), event.more) == (1000, 200)


def test_a_message_has_the_bodies_that_are_served_and_those_that_were(stage):
    old, new = resource("a"), resource("a", "2")
    stage.publish(old)
    first = stage.record("send", old)
    stage.publish(new)
    second = stage.record("send", new)

    [part] = stage.message(first).parts
    assert (part.now, part.before) == (Body(old.version, KEPT, old.body), None)
    [part] = stage.message(second).parts
    assert part.now == Body(new.version, KEPT, new.body)
    assert (part.before, part.since) == (Body(old.version, KEPT, old.body), first)
    assert stage.message(second).previous == first


def test_what_was_before_is_what_this_stream_was_sent_under_that_name(stage):
    old, new, other = resource("a"), resource("a", "2"), resource("b")
    stage.record("send", old)
    stage.record("send", resource("a", "of another stream"), stream="2")
    stage.record("send", other)
    [part] = stage.message(stage.record("send", new)).parts

    assert (part.before.version, part.since) == (old.version, 1)


def test_what_was_removed_in_between_was_not_held_before(stage):
    stage.record("send", resource("a"))
    stage.record("send", removed=["a"])
    [part] = stage.message(stage.record("send", resource("a", "2"))).parts

    assert (part.before, part.since) == (None, 0)


def test_a_body_that_is_not_kept_is_gone(stage):
    [part] = stage.message(stage.record("send", resource("a"))).parts
    assert part.now == Body(resource("a").version, GONE)


def test_an_assignment_without_endpoints_that_was_made_up_is_made_up_again(stage):
    made_up = empty_endpoints("svc")
    [part] = stage.message(stage.record("send", made_up, url=EDS)).parts
    assert part.now == Body(made_up.version, KEPT, made_up.body)


def test_a_secret_is_never_in_a_message_and_does_not_live_longer_than_it_is_served(stage):
    key = resource("key", url=SDS)
    body = key.body
    stage.publish(key)
    [part] = stage.message(stage.record("send", key, url=SDS)).parts
    assert part.now == Body(key.version, SECRET)
    stage.publish(removed=((SDS, "key"),))
    del key
    gc.collect()
    assert [one for one in gc.get_referrers(body) if isinstance(one, (dict, tuple, Resource))] == []


def test_a_heartbeat_has_no_body(stage):
    stage.publish(resource("a"))
    [part] = stage.message(stage.record("send", resource("a"), cause="heartbeat")).parts
    assert part.now.state == HEARTBEAT


def test_a_whole_state_tells_what_it_has_no_more(stage):
    stage.record("send", resource("a"), resource("b"), variant="sotw")
    message = stage.message(stage.record("send", resource("b"), variant="sotw"))
    assert message.dropped == ("a",)
    assert stage.message(stage.record("send", resource("x", url=EDS), url=EDS, variant="sotw")).dropped == ()


def test_the_answer_is_found_by_its_nonce_on_the_stream(stage):
    sent = stage.record("send", resource("a"), nonce="1-1")
    stage.record("ack", nonce="1-1", url=LDS)
    stage.record("ack", nonce="1-1", stream="2")
    answer = stage.record("nack", nonce="1-1")
    assert stage.message(sent).answer.sequence == answer


def test_a_sotw_request_asks_for_all_that_its_newest_subscription_says(stage):
    stage.record("subscribe", subscribed=["a"], asked=["a"], variant="sotw")
    stage.record("subscribe", subscribed=["b"], asked=["a", "b"], variant="sotw")
    assert stage.message(stage.record("ack", variant="sotw")).asked == ("a", "b")
    assert stage.message(stage.record("ack")).asked == ()


def test_a_change_is_shown_beside_the_one_before(stage):
    old, new = resource("a"), resource("a", "2")
    stage.publish(old)
    stage.publish(new)
    [part] = stage.message(2).parts
    assert (part.before.content, part.now.content) == (old.body, new.body)


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "no longer there: the oldest that is kept is 2"), (9, "the newest is 3"), (0, "no longer")],
)
def test_an_event_that_is_not_there_is_told_to_be_gone_or_to_come(number, words):
    stage = Stage()
    stage.timeline = Timeline(capacity=2)
    stage.history = History(stage.timeline, lambda: 1.0)
    for _ in range(3):
        stage.record("ack")
    with pytest.raises(NoSuchEvent, match=words):
        stage.message(number)


def test_before_anything_has_happened_there_is_nothing_to_show(stage):
    with pytest.raises(NoSuchEvent, match="nothing has happened yet"):
        stage.message(1)
