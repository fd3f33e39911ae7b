"""What the fields of a port do to its traffic: protocols, timeouts, the ingress port, access logs, the proxy's log and its level.

One app offers a port for each; what the fields say is the server's, and most of it is in force at the callers.
"""

import json
import re
import signal
import sys

import pytest

from tests.e2e.connect_manifests import definition, offer, service, text
from tsunagu.model.ids import task_id
from tsunagu.testing import CallFailed, Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

PORTS = [
    ("http", "http", 8080),
    ("quick", "http", 8081),
    ("free", "http", 8082),
    ("two", "http2", 8083),
    ("rpc", "grpc", 8084),
    ("raw", "raw", 8085),
    ("brief", "raw", 8086),
    ("lasting", "raw", 8087),
    ("beside", "http", 8088),
    ("idle", "http", 8089),
]
NEVER = {"idleTimeoutSeconds": 0, "perRequestTimeoutSeconds": 0}
BESIDE = 18088  # the ingressPortOverride of `beside`
OFFERS = [
    *(offer(name, name) for name in ("http", "two", "rpc", "raw")),
    offer("quick", "quick", timeout={"perRequestTimeoutSeconds": 3}),
    offer("free", "free", timeout=NEVER),
    offer("idle", "idle", timeout={"idleTimeoutSeconds": 3}),
    offer("brief", "brief", timeout={"idleTimeoutSeconds": 1}),
    offer("lasting", "lasting", timeout={"idleTimeoutSeconds": 0}),
    offer("beside", "beside", ingressPortOverride=BESIDE),
]
GROUP, PREFIX = "/ecs/connect", "proxies"
JSON_LOG = {
    "logConfiguration": {
        "logDriver": "awslogs",
        "options": {"awslogs-group": GROUP, "awslogs-region": "eu-west-1", "awslogs-stream-prefix": PREFIX},
    },
    "accessLogConfiguration": {"format": "JSON", "includeQueryParameters": "ENABLED"},
}
TEXT_LOG = {"accessLogConfiguration": {"format": "TEXT"}, "containerConfigurations": [{"logLevel": "debug"}]}
TEXT_OFFERS = [
    offer("http", "text", discoveryName="text", timeout={"perRequestTimeoutSeconds": 3}),
    offer("raw", "text", 85, discoveryName="text-raw"),
]


def everything(**more):
    return service("all", {"namespace": "four", "services": OFFERS, **JSON_LOG}, desiredCount=2, **more)


def textual(**connect):
    """A service of one task that is replaced only when somebody stops it."""
    fields = {"namespace": "four", "services": TEXT_OFFERS, **TEXT_LOG, **connect}
    given = {name: value for name, value in fields.items() if value is not None}
    return service("text", given, deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 100})


@pytest.fixture(scope="module")
def mesh():
    definitions = [
        definition("all", *PORTS),
        definition("text", ("http", "http", 8080), ("raw", "raw", 8085)),
        definition("load", ("http", "http", 8080)),
    ]
    with Mesh() as running:
        caller = service("load", {"namespace": "four"})
        running.apply(text=text(*definitions, everything(), textual(), caller))
        running.wait_steady()
        yield running


def answer(mesh, url):
    return mesh.call(url, from_task="load").json()


def counter(mesh, task, name):
    found = mesh.envoy(task, f"/stats?filter=^{re.escape(name)}$").text
    return int(found.split(":")[1]) if found else 0


def run(mesh, script, *arguments):
    """Run Python in the caller's task; what it has written, as JSON."""
    done = mesh.execute("load", sys.executable, "-c", script, *map(str, arguments))
    assert done.exit_code == 0, done.stderr.decode()
    return json.loads(done.stdout)


# -- protocols -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "protocol"), [("http", "HTTP/1.1"), ("two", "HTTP/2")])
def test_an_app_is_spoken_to_in_its_protocol_and_requests_take_turns(mesh, name, protocol):
    answers = [answer(mesh, f"http://{name}/") for _ in range(4)]
    assert {one["protocol"] for one in answers} == {protocol}
    assert {one["task"] for one in answers} == {task_id(task) for task in mesh.tasks("all")}


ONE_CHANNEL = """
import json, grpc
channel = grpc.insecure_channel("rpc:80")
say = channel.unary_unary("/test.Echo/Say")
print(json.dumps([say(b"", timeout=10, wait_for_ready=True).decode() for _ in range(20)]))
"""


def test_the_calls_of_one_lasting_grpc_channel_take_turns(mesh):
    before = counter(mesh, "load", "cluster.svc/four/rpc.upstream_rq_completed")
    answers = run(mesh, ONE_CHANNEL)
    tasks = [task_id(task) for task in mesh.tasks("all")]
    assert sorted(answers.count(task) for task in tasks) == [10, 10]
    assert counter(mesh, "load", "cluster.svc/four/rpc.upstream_rq_completed") == before + 20


TWO_LINES = """
import json, socket, sys
lines = []
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) as connection:
    for word in (b"one", b"two"):
        connection.sendall(word + b"\\n")
        lines.append(connection.recv(100).decode())
print(json.dumps(lines))
"""


def test_a_port_without_app_protocol_carries_bytes(mesh):
    lines = run(mesh, TWO_LINES, "raw", 80)
    assert [line.split()[1] for line in lines] == ["one", "two"]
    assert len({line.split()[0] for line in lines}) == 1  # a connection stays at one task
    with pytest.raises(CallFailed):
        answer(mesh, "http://raw/")  # it is no HTTP


def test_an_app_learns_its_caller_s_address_and_a_caller_that_envoy_has_answered(mesh):
    response = mesh.call("http://http/", from_task="load")
    assert response.json()["headers"]["x-forwarded-for"] == mesh.task("load").task.status.ip
    assert response.headers["server"] == "envoy"
    assert int(response.headers["x-envoy-upstream-service-time"]) >= 0


def test_a_503_is_tried_twice_more_and_not_where_it_has_just_come_from(mesh):
    retried = "cluster.svc/four/http.upstream_rq_retry"
    before = counter(mesh, "load", retried)
    assert mesh.call("http://http/status/503", from_task="load").status == 503
    assert counter(mesh, "load", retried) == before + 2
    assert mesh.call("http://http/status/500", from_task="load").status == 500  # no fault of the way
    assert counter(mesh, "load", retried) == before + 2

    def lines(task):
        return [line for line in mesh.logs(task_id(task), "envoy") if "/status/503" in line]

    mesh.wait_until(lambda: sum(len(lines(task)) for task in mesh.tasks("all")) == 3, 60, "three lines")
    assert sorted(len(lines(task)) for task in mesh.tasks("all")) == [1, 2]


# -- timeouts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "milliseconds"), [("http", "15000"), ("quick", "3000"), ("free", None)])
def test_a_request_has_the_time_that_the_server_s_entry_gives_it(mesh, name, milliseconds):
    """Envoy tells each app how long its caller's proxy waits; 0 is no limit."""
    assert answer(mesh, f"http://{name}/")["headers"].get("x-envoy-expected-rq-timeout-ms") == milliseconds


def test_a_request_that_takes_longer_ends_with_504(mesh):
    assert mesh.call("http://quick/slow/5", from_task="load").status == 504
    assert mesh.call("http://free/slow/1.7", from_task="load").status == 200


def test_the_caller_s_proxy_keeps_the_time_even_if_the_server_s_does_not_answer(mesh):
    name = "cluster.svc/four/text.upstream_rq_timeout"
    before = counter(mesh, "load", name)
    mesh.kill("envoy:text", signal.SIGSTOP)
    try:
        assert mesh.call("http://text/", from_task="load").status == 504
    finally:
        mesh.kill("envoy:text", signal.SIGCONT)
    assert counter(mesh, "load", name) == before + 1


def test_an_idle_timeout_that_is_shorter_than_the_request_timeout_comes_first(mesh):
    assert mesh.call("http://idle/slow/5", from_task="load").status == 504  # long before the 15 s of a request


def test_an_idle_connection_to_a_server_is_closed_by_the_callers_proxy_in_its_time(mesh):
    closed = "cluster.svc/four/idle.upstream_cx_idle_timeout"
    before = counter(mesh, "load", closed)
    for name in ("idle", "free", "http"):
        assert answer(mesh, f"http://{name}/")["port"]
    mesh.wait_until(lambda: counter(mesh, "load", closed) > before, 60, "the idle connection's end")
    for name in ("free", "http"):
        assert counter(mesh, "load", f"cluster.svc/four/{name}.upstream_cx_active") > 0
        assert counter(mesh, "load", f"cluster.svc/four/{name}.upstream_cx_idle_timeout") == 0


UNTIL_ONE_IS_CLOSED = """
import json, socket, time
lasting, brief = (socket.create_connection((name, 80), 20) for name in ("lasting", "brief"))
for connection in (lasting, brief):
    connection.sendall(b"one\\n")
    connection.recv(100)
end = brief.recv(100).decode()
time.sleep(1)  # whatever ends `lasting` in the same time would have ended it by now
lasting.sendall(b"two\\n")
print(json.dumps([end, lasting.recv(100).decode().split()[-1]]))
"""


def test_an_idle_tcp_connection_is_closed_in_its_time_and_never_with_0(mesh):
    assert run(mesh, UNTIL_ONE_IS_CLOSED) == ["", "two"]


# -- the ingress port ----------------------------------------------------------------------------------------------


def test_without_an_override_the_container_port_leads_through_the_proxy_and_with_one_past_it(mesh):
    task = mesh.tasks("all")[0]
    address = task.task.status.ip
    counts = {name: f"http.ingress.{name}.downstream_rq_total" for name in ("http", "beside")}

    def through_proxy(name, port):
        before = counter(mesh, task_id(task), counts[name])
        assert mesh.call(f"http://{address}:{port}/", from_task="load").status == 200
        return counter(mesh, task_id(task), counts[name]) - before

    assert through_proxy("http", 8080) == 1
    assert through_proxy("beside", 8088) == 0
    assert through_proxy("beside", BESIDE) == 1
    assert answer(mesh, "http://beside/")["port"] == 8088


# -- logs ----------------------------------------------------------------------------------------------------------

HTTP_FIELDS = [
    *("start_time", "method", "path", "protocol", "response_code", "bytes_received", "bytes_sent", "duration"),
    *("upstream_service_time", "forwarded_for", "user_agent", "request_id", "authority", "upstream_host"),
]
TCP_FIELDS = [
    *("start_time", "downstream_remote_address", "downstream_remote_port", "bytes_received", "bytes_sent", "duration"),
    *("connection_termination_details", "connection_id"),
]
FIELDS = {
    "http": HTTP_FIELDS,
    "two": [*HTTP_FIELDS, "stream_id"],
    "rpc": [*HTTP_FIELDS, "grpc_status", "stream_id"],
    "raw": TCP_FIELDS,
}


def access_log(mesh, service):
    """The access logs of a service's proxies; what Envoy itself logs begins with a bracket."""
    lines = [line for task in mesh.tasks(service) for line in mesh.logs(task_id(task), "envoy")]
    return [line for line in lines if line.startswith("{") or re.match(r"\d{4}-", line)]


def logged(mesh, wanted):
    """The JSON line of the access logs that `wanted` is true of."""

    def found():
        entries = map(json.loads, access_log(mesh, "all"))
        return next((entry for entry in entries if wanted(entry)), None)

    return mesh.wait_until(found, 60, "a line of the access log")


@pytest.mark.parametrize(("name", "protocol"), [("http", "HTTP/1.1"), ("two", "HTTP/2")])
def test_a_request_is_one_line_of_json_with_awss_fields(mesh, name, protocol):
    seen = answer(mesh, f"http://{name}/logged/{name}?secret=1")
    entry = logged(mesh, lambda entry: entry.get("path") == f"/logged/{name}?secret=1")
    assert set(entry) == set(FIELDS[name])
    caller = mesh.task("load").task.status.ip
    port = {each: number for each, _, number in PORTS}[name]
    assert (entry["method"], entry["protocol"], entry["response_code"]) == ("GET", protocol, 200)
    assert (entry["authority"], entry["upstream_host"]) == (name, f"127.0.0.1:{port}")
    assert (entry["forwarded_for"], entry["request_id"]) == (caller, seen["headers"]["x-request-id"])
    assert entry["user_agent"].startswith("Python-urllib")
    assert entry["bytes_sent"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", entry["start_time"])


def test_a_grpc_call_is_a_line_with_its_status(mesh):
    run(mesh, ONE_CHANNEL)
    entry = logged(mesh, lambda entry: entry.get("path") == "/test.Echo/Say")
    assert set(entry) == set(FIELDS["rpc"])
    assert entry["grpc_status"] in ("OK", 0, "0")
    assert entry["stream_id"]


def test_a_tcp_connection_is_a_line_with_its_peer_and_its_bytes(mesh):
    run(mesh, TWO_LINES, "raw", 80)
    entry = logged(mesh, lambda entry: entry.get("bytes_received") == len("one\ntwo\n"))
    assert set(entry) == set(FIELDS["raw"])
    assert entry["downstream_remote_address"] == mesh.task("load").task.status.ip
    assert entry["downstream_remote_port"] > 0
    assert entry["connection_id"]


TEXT_HTTP = (
    r'\S+ GET "/quiet" HTTP/1\.1 200 0 \d+ \d+ \d+ "[\d.]+" "Python-urllib/[\d.]+" [0-9a-f-]{36} text 127\.0\.0\.1:8080'
)
TEXT_TCP = r'\S+ [\d.]+ \d+ 8 \d+ \d+ "-" \d+'


def test_text_has_the_same_fields_in_a_line_and_no_query_unless_it_is_asked_for(mesh):
    answer(mesh, "http://text/quiet?secret=1")
    run(mesh, TWO_LINES, "text", 85)
    for wanted in (TEXT_HTTP, TEXT_TCP):
        mesh.wait_until(
            lambda line=wanted: any(re.fullmatch(line, one) for one in access_log(mesh, "text")), 60, "the line"
        )
    assert "secret" not in "".join(access_log(mesh, "text"))


def test_a_log_group_leads_to_a_file_for_each_task(mesh):
    answer(mesh, "http://http/grouped")
    folder = mesh.home.root / "awslogs" / "ecs" / "connect" / PREFIX / "envoy"
    assert {file.name for file in folder.iterdir()} == {task_id(task) for task in mesh.tasks("all")}
    mesh.wait_until(lambda: any("/grouped" in file.read_text() for file in folder.iterdir()), 60, "the line")


def level(mesh, task):
    """The level of one of Envoy's loggers; it tells them all when it is asked."""
    return re.search(r"^ +http: (\w+)$", mesh.envoy(task, "/logging", "POST").text, re.MULTILINE)[1]


def test_the_log_level_is_that_of_newly_launched_tasks_and_without_one_it_is_info(mesh):
    assert level(mesh, "all") == "info"
    before = mesh.task("text")
    assert level(mesh, "text") == "debug"
    revision = mesh.get("Service", "default/text").service.status.revision
    mesh.apply(text=text(textual(containerConfigurations=None)))
    mesh.wait_until(lambda: mesh.get("Service", "default/text").service.status.revision != revision, 60, "a deployment")
    assert level(mesh, task_id(before)) == "debug"  # it stays as it was launched
    mesh.stop(task_id(before))
    mesh.wait_steady()
    assert mesh.task("text").meta.name != before.meta.name
    assert level(mesh, "text") == "info"
