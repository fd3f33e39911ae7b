import asyncio
import os
from dataclasses import dataclass

import grpc
import grpc.aio
import pytest

from tsunagu.kit import grpc_bootstrap
from tsunagu.mesh.view import View
from tsunagu.serve.api.inspector import About, Inspector
from tsunagu.serve.published import PublishedState
from tsunagu.serve.xds.metrics import Histogram, Metric
from tsunagu.serve.xds.proxies import ClientState, ProxyState
from tsunagu.serve.xds.timeline import Event, Timeline
from tsunagu.testing import objects as make
from tsunagu.v1 import inspector_pb2 as pb
from tsunagu.v1 import inspector_pb2_grpc
from tsunagu.xds.inspection.inventory import ResourceState
from tsunagu.xds.inspection.status import TypeState
from tsunagu.xds.resources import CDS, LDS, SDS, NameMismatch, Resource


@dataclass
class State:
    proxy: str
    connected_at: float = 1_800_000_000.5
    variant: str = "delta"
    version: str = "1.40.0"
    types: tuple = ()
    clients: tuple = ()


@dataclass
class Lack:
    proxy: str
    reason: str


CLUSTER = Resource.of(CDS, "c", b"\x0a\x01c")
LISTENER = Resource.of(LDS, "l", b"\x0a\x01l")
SECRET = Resource.of(SDS, "s", b"\x0a\x01s")


class Ads:
    """Says what a test tells it to, and keeps what it was asked."""

    def __init__(self):
        self.states, self.missing, self.asked = [], [], []
        self.held, self.bundles = [], None
        self.silent_ones, self.counted = set(), []

    def silent(self, proxy):
        return proxy in self.silent_ones

    def metrics(self):
        return self.counted

    def resources(self, proxy):
        return self.held if proxy in self.connected() else []

    def unsent(self, bundles, mask):
        self.bundles = bundles
        return [ResourceState(LDS, "l", "NOT_SENT", 0.0, LISTENER)]

    def proxies(self):
        return self.states

    def connected(self):
        return [state.proxy for state in self.states]

    async def wait(self, revision, expected, timeout):
        self.asked.append((revision, list(expected()), timeout))
        return self.missing


class Overrides:
    def __init__(self):
        self.made = []

    def set(self, namespace, type_url, name, body):
        if body == b"misnamed":
            raise NameMismatch("the two must be equal")
        self.made.append((namespace, type_url, name, body))
        return 7


REVISION = "default/orders/abc"


@pytest.fixture
def view():
    objects = [
        ("Namespace", make.namespace()),
        ("Namespace", make.namespace("empty")),
        ("Node", make.node()),
        ("Service", make.service("default/orders", "abc")),
        ("ServiceRevision", make.revision(REVISION, make.port("orders"))),
        ("Task", make.task("default/orders-1", REVISION, "10.0.0.1")),
        ("Task", make.task("default/orders-2", REVISION, "10.0.0.2", last_status="PENDING")),
        ("Task", make.gateway_task("default/front-1")),
    ]
    return View.empty().apply([(kind, obj.meta.name, None, obj) for kind, obj in objects], 7)[0]


class Served:
    def __init__(self, view):
        self.ads, self.published, self.overrides = Ads(), PublishedState(), Overrides()
        self.published.advance(view)
        self.timeline = self.ads.timeline = Timeline(capacity=4)
        self.inspector = Inspector(
            About("0.1.0", "memory", 1_800_000_000.0),
            ads=self.ads,
            published=self.published,
            overrides=self.overrides,
            revision=lambda: 9,
            synced=lambda: True,
        )
        self.clock = 0

    def record(self, proxy="default/orders-1", type_url=CDS, kind="send", **more):
        self.clock += 1
        self.timeline.record(Event(self.timeline.next_sequence, self.clock, proxy, type_url, kind, **more))


@pytest.fixture
async def served(view, tmp_path):
    made = Served(view)
    server = grpc.aio.server()
    made.inspector.register(server)
    server.add_insecure_port(f"unix:{tmp_path}/api.sock")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/api.sock") as channel:
        made.stub = inspector_pb2_grpc.InspectorStub(channel)
        yield made
    await server.stop(None)


async def refused(call, status):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is status
    return caught.value.details()


async def test_info(served):
    info = await served.stub.Info(pb.InfoRequest())
    assert (info.version, info.store, info.pid, info.synced) == ("0.1.0", "memory", os.getpid(), True)
    assert (info.revision, info.published_revision) == (9, 7)
    assert info.started_at.seconds == 1_800_000_000


async def test_proxies_that_are_expected_and_not_connected_are_shown_too(served):
    nacked = TypeState("LDS", "NACKED", 1.5, 3, "v1", "address is necessary", ("bad",))
    served.ads.states = [State("default/orders-1", types=(nacked,)), State("default/stranger-9")]
    answer = await served.stub.Proxies(pb.ProxiesRequest())
    shown = {proxy.name: proxy for proxy in answer.proxies}
    assert [(name, proxy.connected, proxy.expected) for name, proxy in shown.items()] == [
        ("default/front-1", False, True),
        ("default/orders-1", True, True),
        ("default/orders-2", False, True),
        ("default/stranger-9", True, False),
    ]
    first = shown["default/orders-1"]
    assert (first.namespace, first.service, first.variant, first.version) == (
        "shop",
        "default/orders",
        "delta",
        "1.40.0",
    )
    assert first.connected_at.nanos == 500_000_000
    assert shown["default/front-1"].service == ""
    [kind] = first.types
    assert (kind.type, kind.state, kind.age_seconds, kind.resources) == ("LDS", "NACKED", 1.5, 3)
    assert (kind.error, list(kind.rejected)) == ("address is necessary", ["bad"])


async def test_one_proxy(served):
    answer = await served.stub.Proxies(pb.ProxiesRequest(proxy="default/orders-2"))
    assert [proxy.name for proxy in answer.proxies] == ["default/orders-2"]
    assert answer.revision == 7


async def test_resources_of_a_connected_proxy(served):
    served.ads.states = [State("default/orders-1")]
    served.ads.held = [
        ResourceState(CDS, "c", "NACKED", 2.5, CLUSTER, "no"),
        ResourceState(CDS, "gone", "STALE", 1.0, None),
        ResourceState(SDS, "s", "SYNCED", 3.0, SECRET),
    ]
    answer = await served.stub.Resources(pb.ResourcesRequest(proxy="default/orders-1"))
    refused, gone, secret = answer.resources
    assert (answer.connected, answer.revision) == (True, 7)
    assert (refused.type, refused.type_url, refused.name, refused.version) == ("CDS", CDS, "c", CLUSTER.version)
    assert (refused.state, refused.age_seconds, refused.error, refused.body) == ("NACKED", 2.5, "no", CLUSTER.body)
    assert (gone.state, gone.version, gone.body) == ("STALE", "", b"")
    assert (secret.version, secret.body) == (SECRET.version, b"")

    some = await served.stub.Resources(pb.ResourcesRequest(proxy="default/orders-1", type="CDS", without_bodies=True))
    assert [(one.name, one.body) for one in some.resources] == [("c", b""), ("gone", b"")]


async def test_resources_of_a_proxy_that_is_not_connected(served):
    answer = await served.stub.Resources(pb.ResourcesRequest(proxy="default/orders-1"))
    assert (answer.connected, [one.name for one in answer.resources]) == (False, ["l"])
    assert served.ads.bundles == ("override/shop", "ns/shop", "rev/default/orders/abc")


async def test_resources_of_nobody(served):
    words = await refused(served.stub.Resources(pb.ResourcesRequest(proxy="default/x")), grpc.StatusCode.NOT_FOUND)
    assert "no task 'default/x'" in words
    await refused(served.stub.Resources(pb.ResourcesRequest(type="XDS")), grpc.StatusCode.INVALID_ARGUMENT)


async def timeline(served, **request):
    return [event async for event in served.stub.Timeline(pb.TimelineRequest(**request))]


async def test_the_timeline_so_far(served):
    served.record(
        sent=[("svc/shop/orders", "v1")], more=3, removed={"b", "a"}, nonce="1", cause="Task x", revision=7, bytes=40
    )
    served.record(kind="nack", error="no", latency=0.25, refused=["svc/shop/orders"])
    send, nack = await timeline(served)
    assert (send.sequence, send.proxy, send.type, send.kind) == (1, "default/orders-1", "CDS", "send")
    assert (list(send.names), list(send.removed)) == (["svc/shop/orders"], ["a", "b"])
    assert dict(send.versions) == {"svc/shop/orders": "v1"}
    assert send.more == 3
    assert (send.nonce, send.cause, send.revision, send.bytes, send.time.seconds) == ("1", "Task x", 7, 40, 1)
    assert (nack.kind, nack.detail, nack.latency_seconds, list(nack.names)) == ("nack", "no", 0.25, ["svc/shop/orders"])


async def test_the_timeline_is_filtered(served):
    served.record(proxy="default/orders-1", type_url=CDS)
    served.record(proxy="default/orders-1", type_url=LDS)
    served.record(proxy="default/orders-2", type_url=LDS)
    assert [event.sequence for event in await timeline(served, type="LDS")] == [2, 3]
    assert [event.sequence for event in await timeline(served, proxy="default/orders-1")] == [1, 2]
    assert [event.sequence for event in await timeline(served, proxy="default/orders-1", type="LDS")] == [2]
    assert [event.sequence for event in await timeline(served, after=2)] == [3]


async def test_the_timeline_goes_on(served):
    served.record()
    call = served.stub.Timeline(pb.TimelineRequest(follow=True, type="CDS"))
    assert (await call.read()).sequence == 1
    reading = asyncio.ensure_future(call.read())
    served.record(type_url=LDS)
    served.record()
    assert (await reading).sequence == 3
    call.cancel()


async def test_a_reader_that_fell_behind_is_told_so(served):
    for _ in range(9):
        served.record()

    async def read():
        return await served.stub.Timeline(pb.TimelineRequest(follow=True, after=2)).read()

    assert "event 3 is gone" in await refused(read(), grpc.StatusCode.DATA_LOSS)


async def test_an_unknown_type_is_refused(served):
    words = await refused(timeline(served, type="XDS"), grpc.StatusCode.INVALID_ARGUMENT)
    assert "the types are CDS, EDS" in words


async def test_wait_asks_the_barrier_for_the_expected_proxies(served):
    answer = await served.stub.Wait(pb.WaitRequest(revision=5, timeout_seconds=2))
    assert (answer.converged, answer.revision, list(answer.missing)) == (True, 5, [])
    assert served.ads.asked == [(5, ["default/front-1", "default/orders-1", "default/orders-2"], 2.0)]


async def test_wait_for_the_present_revision_is_for_the_registry_s(served):
    assert (await served.stub.Wait(pb.WaitRequest())).revision == 9
    assert served.ads.asked[0][0] == 9


async def test_before_a_revision_is_offered_the_control_plane_itself_is_missing(served):
    await served.stub.Wait(pb.WaitRequest(revision=8, namespace="empty"))
    await served.stub.Wait(pb.WaitRequest(revision=7, namespace="empty"))
    assert [expected for _, expected, _ in served.ads.asked] == [["the control plane"], []]


async def test_wait_names_who_is_missing(served):
    served.ads.missing = [Lack("default/orders-2", "not connected")]
    answer = await served.stub.Wait(pb.WaitRequest(namespace="shop"))
    assert not answer.converged
    assert [(lack.proxy, lack.reason) for lack in answer.missing] == [("default/orders-2", "not connected")]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (pb.WaitRequest(timeout_seconds=601), "from 0 to 600"),
        (pb.WaitRequest(timeout_seconds=-1), "from 0 to 600"),
        (pb.WaitRequest(timeout_seconds=float("nan")), "from 0 to 600"),
        (pb.WaitRequest(revision=10), "the newest is 9"),
        (pb.WaitRequest(revision=-1), "the newest is 9"),
        (pb.WaitRequest(namespace="shpo"), "there are: empty, shop"),
    ],
)
async def test_what_cannot_be_waited_for_is_refused(served, request_, words):
    assert words in await refused(served.stub.Wait(request_), grpc.StatusCode.INVALID_ARGUMENT)
    assert served.ads.asked == []


async def test_a_wait_for_a_namespace_before_anything_is_offered_is_to_be_asked_again(served):
    """As for 0.3 s after a start of `serve`: the namespace of a task that drains is in the registry, and in no view yet."""
    served.published.advance(View.empty())
    waiting = served.stub.Wait(pb.WaitRequest(namespace="shop"))
    assert "not known yet" in await refused(waiting, grpc.StatusCode.UNAVAILABLE)
    served.inspector._revision = lambda: 0  # an empty registry: there is nothing to come
    await refused(served.stub.Wait(pb.WaitRequest(namespace="shop")), grpc.StatusCode.INVALID_ARGUMENT)


async def test_override(served):
    request = pb.OverrideRequest(namespace="shop", type_url=LDS, name="bad", body=b"x")
    assert (await served.stub.Override(request)).revision == 7
    assert served.overrides.made == [("shop", LDS, "bad", b"x")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"namespace": "no"}, "there is no namespace 'no'"),
        ({"type_url": "x"}, "is no type of xDS"),
        ({"name": ""}, "needs a name"),
        ({"body": b"misnamed"}, "must be equal"),
    ],
)
async def test_what_cannot_be_laid_over_is_refused(served, change, words):
    fields = {"namespace": "shop", "type_url": LDS, "name": "bad", "body": b"x", **change}
    assert words in await refused(served.stub.Override(pb.OverrideRequest(**fields)), grpc.StatusCode.INVALID_ARGUMENT)
    assert served.overrides.made == []


async def test_connected_grpc_clients_are_awaited_and_shown_with_their_task(served):
    mine, others = "grpc/shop/default/orders-1#2", "grpc/empty/billing#1"
    served.ads.states = [State(mine), State(others), State("default/orders-1")]
    shown = {proxy.name: proxy for proxy in (await served.stub.Proxies(pb.ProxiesRequest())).proxies}
    assert (shown[mine].namespace, shown[mine].service, shown[mine].expected) == ("shop", "default/orders", True)
    assert (shown[others].namespace, shown[others].service, shown[others].expected) == ("empty", "", True)
    served.inspector._revision = lambda: 7
    await served.stub.Wait(pb.WaitRequest(revision=7, namespace="shop"))
    await served.stub.Wait(pb.WaitRequest(revision=7))
    (_, of_shop, _), (_, of_all, _) = served.ads.asked
    assert (mine in of_shop, others in of_shop, others in of_all) == (True, False, True)


async def test_who_is_connected_under_a_name_is_shown_and_who_of_them_counts(served):
    own = ClientState(True, 1.0, "delta", "1.40.0", "unix:", 1, (TypeState("CDS", "SYNCED", 1.0, 2, "v"),))
    stranger = ClientState(False, 2.0, "sotw", "", "unix:", 3, ())
    served.ads.states = [ProxyState("default/orders-1", 1.0, "delta", "1.40.0", own.types, (own, stranger))]
    proxies = (await served.stub.Proxies(pb.ProxiesRequest(proxy="default/orders-1"))).proxies
    [first, second] = proxies[0].clients

    assert (first.counts, first.version, first.types[0].state) == (True, "1.40.0", "SYNCED")
    assert (second.counts, second.variant, second.streams, second.peer) == (False, "sotw", 3, "unix:")


async def test_a_grpc_client_that_does_not_answer_is_not_waited_for(served):
    names = [f"{grpc_bootstrap.client_name('shop', 'default/orders-1')}#{number}" for number in (1, 2)]
    served.ads.states = [ProxyState(name, 1.0, "sotw", "", ()) for name in names]
    served.ads.silent_ones = {names[1]}
    await served.stub.Wait(pb.WaitRequest(timeout_seconds=1))
    [(_, expected, _)] = served.ads.asked

    assert names[0] in expected
    assert names[1] not in expected


async def test_the_metrics_are_those_of_the_server_and_of_the_process(served):
    histogram = Histogram((1.0, 2.0))
    histogram.observe(1.5)
    served.ads.counted = [
        Metric("xds_z", "histogram", "seconds", "of z", histogram=histogram),
        Metric("xds_a", "counter", "bytes", "of a", 5, labels={"type": "EDS"}),
        Metric("xds_a", "counter", "bytes", "of a", 4, labels={"type": "CDS"}),
    ]
    metrics = (await served.stub.Metrics(pb.MetricsRequest())).metrics
    of_xds = [metric for metric in metrics if metric.name.startswith("xds_")]

    assert [(one.name, dict(one.labels), one.value) for one in of_xds] == [
        ("xds_a", {"type": "CDS"}, 4),
        ("xds_a", {"type": "EDS"}, 5),
        ("xds_z", {}, 0),
    ]
    assert list(of_xds[2].histogram.bounds) == [1.0, 2.0]
    assert (list(of_xds[2].histogram.counts), of_xds[2].histogram.sum) == ([0, 1, 0], 1.5)
    by_name = {metric.name: metric.value for metric in metrics}
    assert by_name["process_resident_bytes"] > 10_000_000
    assert 0 < by_name["process_open_files"] < by_name["process_open_files_limit"]
