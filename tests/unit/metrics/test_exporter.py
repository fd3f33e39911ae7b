"""The exporter over HTTP: one path, one answer a second, and 503 while the control plane is away."""

import grpc
import grpc.aio
import pytest

from tsunagu.kit.http_server import Request
from tsunagu.metrics.process import Exporter
from tsunagu.v1 import inspector_pb2, signals_pb2


class ControlPlane:
    def __init__(self):
        self.asked, self.away = 0, False

    async def Metrics(self, request, timeout):
        self.asked += 1
        if self.away:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
        return inspector_pb2.MetricsResponse(
            metrics=[inspector_pb2.Metric(name="xds_groups", kind="gauge", help="g", value=2)]
        )

    async def Totals(self, request, timeout):
        yield signals_pb2.TotalsResponse()


@pytest.fixture
async def exporter():
    async with grpc.aio.insecure_channel("unix:/no/such/socket") as channel:
        made = Exporter(channel)
        made._inspector = made._signals = ControlPlane()
        yield made


def get(target="/metrics", method="GET"):
    return Request(method, target, ())


async def test_it_answers_at_one_path(exporter):
    answer = await exporter.handle(get())
    assert (answer.status, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\ntsunagu_xds_groups 2.0\n" in answer.body
    assert (await exporter.handle(get("/"))).status == 404
    assert (await exporter.handle(get(method="POST"))).status == 405


async def test_many_scrapes_ask_the_control_plane_once(exporter):
    for _ in range(20):
        await exporter.handle(get())
    assert exporter._inspector.asked == 1


async def test_a_control_plane_that_is_away_is_no_empty_answer(exporter):
    exporter._inspector.away = True
    assert (await exporter.handle(get())).status == 503
