"""Hold and Message: what is done by hand, and what is shown of one message."""

from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest

from tsunagu.mesh.view import View
from tsunagu.serve.api.inspector import About, Inspector
from tsunagu.serve.published import PublishedState
from tsunagu.serve.xds.history.shown_message import GONE, KEPT, Body, Message, NoSuchEvent, Part
from tsunagu.serve.xds.proxies import ProxyState
from tsunagu.serve.xds.timeline import Event
from tsunagu.testing import objects as make
from tsunagu.v1 import inspector_pb2 as pb
from tsunagu.v1 import inspector_pb2_grpc
from tsunagu.xds.inspection.status import TypeState
from tsunagu.xds.resources import CDS, LDS

REVISION = "default/orders/abc"


@dataclass
class Ads:
    """Says what a test tells it to, and keeps what it was asked."""

    identifier: str = "cp"
    states: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    shown: Message | None = None

    def proxies(self):
        return self.states

    def connected(self):
        return [state.proxy for state in self.states]

    def hold(self, proxy, type_url, seconds):
        self.asked.append((proxy, type_url, seconds))
        return self.connected().count(proxy)

    def message(self, sequence):
        if sequence != self.shown.event.sequence:
            raise NoSuchEvent(sequence, [self.shown.event])
        return self.shown


@pytest.fixture
def view():
    objects = [
        ("Namespace", make.namespace()),
        ("Node", make.node()),
        ("Service", make.service("default/orders", "abc")),
        ("ServiceRevision", make.revision(REVISION, make.port("orders"))),
        ("Task", make.task("default/orders-1", REVISION, "10.0.0.1")),
    ]
    return View.empty().apply([(kind, obj.meta.name, None, obj) for kind, obj in objects], 7)[0]


@pytest.fixture
async def served(view, tmp_path):
    ads, published = Ads(), PublishedState()
    published.advance(view)
    inspector = Inspector(
        About("0.1.0", "memory", 1.0),
        ads=ads,
        published=published,
        overrides=None,
        revision=lambda: 9,
        synced=lambda: True,
    )
    server = grpc.aio.server()
    inspector.register(server)
    server.add_insecure_port(f"unix:{tmp_path}/api.sock")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/api.sock") as channel:
        ads.stub = inspector_pb2_grpc.InspectorStub(channel)
        yield ads
    await server.stop(0)


async def refused(call, status):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is status
    return caught.value.details()


def connected(types=()):
    return ProxyState("default/orders-1", 1.0, "delta", "1.40.0", tuple(types))


async def test_a_hold_keeps_a_type_of_a_connected_proxy_back(served):
    served.states = [connected()]
    answer = await served.stub.Hold(pb.HoldRequest(proxy="default/orders-1", type="LDS", seconds=5))
    await served.stub.Hold(pb.HoldRequest(proxy="default/orders-1", type="LDS"))
    assert answer.streams == 1
    assert served.asked == [("default/orders-1", LDS, 5), ("default/orders-1", LDS, 0)]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"seconds": 61}, grpc.StatusCode.INVALID_ARGUMENT, "from 0, for no longer, to 60"),
        ({"seconds": -1}, grpc.StatusCode.INVALID_ARGUMENT, "from 0"),
        ({"type": ""}, grpc.StatusCode.INVALID_ARGUMENT, "which type"),
        ({"type": "XDS"}, grpc.StatusCode.INVALID_ARGUMENT, "the types are CDS"),
        ({}, grpc.StatusCode.FAILED_PRECONDITION, "orders-1 is not connected"),
        ({"proxy": "default/nobody"}, grpc.StatusCode.NOT_FOUND, "there is no task 'default/nobody'"),
    ],
)
async def test_what_cannot_be_held_is_refused(served, change, status, words):
    fields = {"proxy": "default/orders-1", "type": "LDS", "seconds": 5.0, **change}
    assert words in await refused(served.stub.Hold(pb.HoldRequest(**fields)), status)


async def test_how_long_a_type_is_held_is_told(served):
    held = TypeState("EDS", "STALE", 1.0, 3, "v", held=7.5)
    served.states = [connected([held])]
    [shown] = (await served.stub.Proxies(pb.ProxiesRequest(proxy="default/orders-1"))).proxies
    assert shown.types[0].held_seconds == 7.5


async def test_a_message_is_shown_with_its_bodies(served):
    event = Event(41, 1.0, "default/orders-1", CDS, "send", nonce="1-1", stream="1", variant="delta", version="v")
    parts = (
        Part("a", Body("2", KEPT, b"now"), Body("1", KEPT, b"before"), 12),
        Part("b", Body("3", KEPT, b"x" * (9 << 20))),
        Part("c", Body("4", GONE)),
    )
    served.shown = Message(event, parts, 12, ("gone",), event._replace(sequence=42, kind="ack"))
    shown = await served.stub.Message(pb.MessageRequest(sequence=41))

    assert (shown.event.sequence, shown.event.stream, shown.event.version) == (41, "1", "v")
    assert (shown.previous, list(shown.dropped), shown.answer.kind, shown.identifier) == (12, ["gone"], "ack", "cp")
    assert [(part.now.state, part.now.content) for part in shown.parts] == [
        ("kept", b"now"),
        ("large", b""),
        ("gone", b""),
    ]
    assert (shown.parts[0].before.content, shown.parts[0].since) == (b"before", 12)
    assert not shown.parts[1].HasField("before")
    words = await refused(served.stub.Message(pb.MessageRequest(sequence=7)), grpc.StatusCode.NOT_FOUND)
    assert words == "event 7 is no longer there: the oldest that is kept is 41"
