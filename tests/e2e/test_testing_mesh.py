"""The test kit on a real mesh: what docs/testing.md promises, through the fixtures that users have."""

import json
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.next_agent import node_of, wait_next_agent
from tsunagu.model.errors import ManifestError
from tsunagu.model.ids import task_id
from tsunagu.testing import CallFailed, Mesh, MeshError, NotConverged, Plan, UnknownName
from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SHOP = Path(__file__).parents[2] / "examples" / "01-shop" / "shop.yaml"


@pytest.fixture(scope="module")
def shop():
    with Mesh(SHOP) as running:
        running.wait_steady()
        yield running


def running_ids(mesh, service):
    return [task_id(task) for task in mesh.tasks(service) if task.task.status.last_status == "RUNNING"]


def test_a_call_from_inside_a_task_goes_by_short_names_alone(shop):
    answer = shop.call("http://web/", from_task="orders")
    assert answer.status == 200
    body = answer.json()
    assert body["task"] in running_ids(shop, "web")
    assert body["orders"]["task"] in running_ids(shop, "orders")
    assert body["orders"]["inventory"]["task"] in running_ids(shop, "inventory")
    assert body["orders"]["stock"].startswith("apples 42 stock-")
    assert answer.headers["content-type"] == "application/json"


def test_copies_take_turns(shop):
    seen = {shop.call("http://inventory/items", from_task="web").json()["task"] for _ in range(6)}
    assert seen == set(running_ids(shop, "inventory"))


def test_no_app_finds_its_port_taken(shop):
    """`orders` listens on 3306 itself and calls stock:3306: each gets the one that it means."""
    ask = "import socket; s=socket.create_connection(({!r}, 3306), 5); s.sendall(b'GET apples\\n'); print(s.makefile().readline())"
    own = shop.execute("orders", "python3", "-c", ask.format("127.0.0.1"))
    stock = shop.execute("orders", "python3", "-c", ask.format("stock"))
    assert own.text.startswith("apples cached at orders-")
    assert stock.text.startswith("apples 42 stock-")


def test_from_outside_a_port_must_be_published(shop):
    with pytest.raises(MeshError, match="inventory:80 is not published"):
        shop.call("http://inventory/items")
    host, _, port = shop.publish("inventory").partition(":")
    assert shop.call("http://inventory/items").status == 200
    with socket.create_connection((host, int(port)), 5) as direct:
        direct.sendall(b"GET /items HTTP/1.1\r\nhost: inventory\r\nconnection: close\r\n\r\n")
        assert direct.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_a_name_that_nobody_offers_is_answered_with_the_nearest(shop):
    with pytest.raises(UnknownName, match='no service offers inventry:80; did you mean "inventory:80"'):
        shop.publish("inventry")
    with pytest.raises(UnknownName, match='no service offers stock:80; did you mean "stock:3306"'):
        shop.publish("stock")
    with pytest.raises(UnknownName, match=r'there is no Service .*; did you mean "default/orders"'):
        shop.scale("oders", 3)


def test_it_says_where_it_is_and_how_to_look_inside(shop):
    assert repr(shop) == f"<Mesh in {shop.home.root}; look inside with 'tsunagu ps --home {shop.home.root}'>"


def test_a_name_that_is_not_there(shop):
    with pytest.raises(CallFailed, match="nowhere"):
        shop.call("http://nowhere/", from_task="web")


def test_commands_in_a_task(shop):
    done = shop.execute("web", "sh", "-c", "cat; hostname; echo oops >&2; exit 3", stdin=b"hello\n")
    assert (done.exit_code, done.stderr) == (3, b"oops\n")
    assert done.text.splitlines() == ["hello", running_ids(shop, "web")[0]]
    with pytest.raises(MeshError, match="no-such-program"):
        shop.execute("web", "no-such-program")
    with pytest.raises(LookupError, match="there is no task 'wbe'"):
        shop.execute("wbe", "true")


def test_logs_and_envoy(shop):
    shop.wait_until(lambda: any("listening on" in line for line in shop.logs("web")), 60, "what web said at its start")
    assert shop.envoy("web", "/ready").text == "LIVE\n"
    dump = shop.envoy("web", "/config_dump").text
    assert "Bearer [redacted]" in dump


def test_proxies_and_timeline(shop):
    shop.wait_converged()
    proxies = {proxy.name: proxy for proxy in shop.proxies()}
    for task in shop.tasks("web"):
        proxy = proxies[task.meta.name]
        assert proxy.connected
        assert proxy.expected
        assert proxy.variant == "delta"
        assert proxy.service == "default/web"
        assert {kind.type: kind.state for kind in proxy.types} == dict.fromkeys(("CDS", "EDS", "LDS", "RDS"), "SYNCED")
    events = shop.timeline(proxy=task.meta.name)
    assert [event.kind for event in events[:2]] == ["connect", "subscribe"]
    assert {"send", "ack"} <= {event.kind for event in events}
    assert all(event.type == "EDS" for event in shop.timeline(type="EDS"))
    after = events[-1].sequence
    assert all(event.sequence > after for event in shop.timeline(after=after))


def _nacked(proxy):
    return any(kind.state == "NACKED" for kind in proxy.types)


def test_a_provoked_nack_is_named_and_heals(shop):
    shop.override("shop", "LDS", "broken", b"\x0a\x06broken")
    shop.wait_until(lambda: all(_nacked(proxy) for proxy in shop.proxies()), 60, "every proxy's NACK")
    with pytest.raises(NotConverged) as caught:
        shop.wait_converged(0)
    assert "default/web" in str(sorted(caught.value.missing))
    assert all("LDS NACKed: broken" in reason for reason in caught.value.missing.values())
    assert shop.call("http://orders/orders", from_task="web").status == 200
    shop.override("shop", "LDS", "broken")
    shop.wait_converged(60)


def test_a_wrong_manifest_is_refused_at_its_line(shop):
    before = shop.revision
    with pytest.raises(ManifestError, match=r"text\.yaml:3"):
        shop.apply(text="kind: Service\nserviceName: web\ntaskDefinitoin: web\n")
    assert shop.revision == before


def test_scaling_under_load_loses_nothing(shop):
    shop.publish("web")
    plan = Plan(late=60, rps=60, connections=6, label=lambda answer: json.loads(answer.body)["orders"]["task"])
    with shop.load("http://web/", plan) as load:
        load.wait_requests(40)
        shop.scale("orders", 3)
        shop.wait_steady()
        load.wait_requests(60)
        shop.scale("orders", 1)
        shop.wait_steady()
        load.wait_requests(40)
    report = load.report()
    assert report.failed == 0, (str(report), report.first_failure)
    assert len(report.labels) == 3
    shop.scale("orders", 2)
    shop.wait_steady()


def test_a_sick_copy_is_left_out_after_five_failures(shop):
    """The first example of docs/testing.md. A 500 is not retried; each of the two callers counts for itself."""
    shop.publish("web")
    sick = running_ids(shop, "inventory")[1]
    shop.call("http://127.0.0.1/fail?on=1", from_task=sick, method="POST")
    # One request at a time, or more would be under way to the sick copy when it fails for the fifth time.
    plan = Plan(
        late=60, rps=60, connections=1, label=lambda answer: json.loads(answer.body)["orders"]["inventory"]["task"]
    )
    with shop.load("http://web/", plan) as load:
        load.wait_requests(200)
    report = load.report()
    assert dict(report.failures) == {"502": 2 * 5}, (str(report), report.first_failure)
    assert set(report.labels) == set(running_ids(shop, "inventory")) - {sick}
    shop.call("http://127.0.0.1/fail?on=0", from_task=sick, method="POST")


def test_an_ejection_right_after_a_change_of_the_endpoints_is_not_late(shop):
    """Envoy would gather changes of health for a second after each EDS update; meanwhile the sick copy got its share."""
    shop.publish("web")
    shop.stop(running_ids(shop, "inventory")[1])  # the sick one of before: while it is ejected, no other can be
    shop.wait_until(lambda: len(shop.tasks("inventory")) == 3, 60, "the end of the stopped task")
    shop.wait_steady()
    sick = running_ids(shop, "inventory")[0]
    shop.call("http://127.0.0.1/fail?on=1", from_task=sick, method="POST")
    with shop.load("http://web/", Plan(late=60, rps=100, connections=1)) as load:
        load.wait_requests(150)
    report = load.report()
    assert report.failed <= 2 * (5 + 1), (str(report), report.first_failure)  # one more may be under way at each
    shop.call("http://127.0.0.1/fail?on=0", from_task=sick, method="POST")


def test_stopping_one_task_under_load_loses_nothing(shop):
    shop.publish("orders")
    victim = running_ids(shop, "inventory")[0]
    with shop.load("http://orders/orders", Plan(late=60, rps=60, connections=6)) as load:
        load.wait_requests(30)
        shop.stop(victim)
        shop.wait_until(lambda: shop.task(victim).task.status.last_status == "STOPPED", 60, f"the end of {victim}")
        shop.wait_steady()
        load.wait_requests(30)
    assert load.report().failed == 0, (str(load.report()), load.report().first_failure)
    status = shop.task(victim).task.status
    assert (status.stop_code, status.stopped_reason) == ("UserInitiated", "stopped by a test")
    assert [container.exit_code for container in status.containers] == [0]


CALLER = """
import http.client, http.server, json, threading, time
counts = {"ok": 0, "failures": []}

def call():
    while True:
        connection = http.client.HTTPConnection("orders", 80, timeout=60)
        try:
            for _ in range(50):
                connection.request("GET", "/orders")
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status == 200:
                    counts["ok"] += 1
                else:
                    counts["failures"].append([answer.status, body])
                time.sleep(0.02)
        except Exception as error:
            counts["failures"].append(repr(error))
        connection.close()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(counts).encode())

threading.Thread(target=call, daemon=True).start()
http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Handler).serve_forever()
"""


@pytest.fixture
def caller(shop):
    """A task that calls orders all the time; a function that tells how often that went well, and what did not."""
    definition = {
        "family": "caller",
        "networkMode": "awsvpc",
        "memory": "256",
        "containerDefinitions": [{"name": "app", "image": "python", "command": ["python3", "-c", CALLER]}],
    }
    connect = {"enabled": True, "namespace": "shop"}
    service = {"serviceName": "caller", "taskDefinition": "caller", "desiredCount": 1}
    documents = [
        {"kind": "TaskDefinition", **definition},
        {"kind": "Service", **service, "serviceConnectConfiguration": connect},
    ]
    shop.apply(text="\n---\n".join(map(json.dumps, documents)))
    shop.wait_steady()
    yield lambda: shop.call("http://127.0.0.1:8099/", from_task="caller").json()
    shop.delete("Service", "default/caller")
    shop.wait_until(lambda: not shop.tasks("caller"), 60, "the end of the caller")


@pytest.mark.parametrize("what", ["serve", "node"])
def test_nothing_that_runs_is_touched_by_the_death_of(shop, caller, what):
    shop.wait_until(lambda: _answers(caller), 60, "the caller, whose program may be found by a script that ends then")
    before, node = shop.processes(), node_of(shop)
    shop.kill(what)
    shop.wait_until(lambda: _came_back(shop, before, what), 60, f"the return of {what}")
    if what == "node":
        wait_next_agent(shop, node)
    shop.wait_until(lambda: all(proxy.connected for proxy in shop.proxies()), 60, "every proxy's return")
    now = shop.wait_until(lambda: _answers(caller), 60, "the caller")
    shop.wait_until(lambda: caller()["ok"] > now + 20, 60, "more calls")
    assert caller()["failures"] == []
    after = shop.processes()
    for task, app in before.apps.items():
        assert [process.pid for process in app] == [process.pid for process in after.apps[task]]
    pids = [{task: envoy.pid for task, envoy in found.envoys.items()} for found in (before, after)]
    assert pids[0] == pids[1]


def _answers(caller):
    try:
        return caller()["ok"]
    except CallFailed:
        return False


def _came_back(mesh, before, what):
    now = getattr(mesh.processes(), what)
    return now is not None and now.pid != getattr(before, what).pid and mesh.answers() and _node_answers(mesh)


def _node_answers(mesh):
    try:
        return mesh.envoy("web", "/ready").status == 200
    except MeshError:
        return False


def test_a_killed_envoy_comes_back(shop):
    task = running_ids(shop, "web")[0]
    before = shop.processes().envoys[task].pid
    shop.kill(f"envoy:{task}")

    def back():
        proxy = shop.task(task).task.status.proxy
        return (proxy.restarts, proxy.state) == (1, "LIVE") and task in shop.processes().envoys

    shop.wait_until(back, 60, "the restart of the Envoy")
    shop.wait_steady()
    assert shop.processes().envoys[task].pid != before
    assert shop.call("http://web/", from_task="orders").status == 200


def test_a_killed_app_is_replaced(shop):
    task = running_ids(shop, "stock")[0]
    shop.kill("app:stock")
    shop.wait_until(lambda: shop.task(task).task.status.last_status == "STOPPED", 60, "the end of the task")
    shop.wait_until(lambda: set(running_ids(shop, "stock")) - {task}, 60, "a task in its place")
    shop.wait_steady()
    ended = shop.task(task).task.status
    assert (ended.stop_code, ended.containers[0].exit_code) == ("EssentialContainerExited", 128 + signal.SIGKILL)
    assert shop.call("http://orders/orders", from_task="web").status == 200


def test_a_mesh_begins_with_what_it_is_given(tmp_path):
    app = "import http.server, os; http.server.BaseHTTPRequestHandler.do_GET = lambda h: (h.send_response(200), h.end_headers(), h.wfile.write(os.environ['WORD'].encode())); http.server.HTTPServer(('', 80), http.server.BaseHTTPRequestHandler).serve_forever()"
    container = {
        "name": "app",
        "image": "python",
        "command": ["python3", "-c", app],
        "secrets": [{"name": "WORD", "valueFrom": "the-word"}],
        "portMappings": [{"name": "http", "containerPort": 80, "appProtocol": "http"}],
    }
    definition = {"family": "one", "networkMode": "awsvpc", "memory": "256", "containerDefinitions": [container]}
    connect = {
        "enabled": True,
        "namespace": "n",
        "services": [{"portName": "http", "clientAliases": [{"port": 80, "dnsName": "one"}]}],
    }
    service = {"serviceName": "one", "taskDefinition": "one", "desiredCount": 1, "serviceConnectConfiguration": connect}
    file = tmp_path / "one.yaml"
    file.write_text(
        "\n---\n".join(
            json.dumps({"kind": kind, **made}) for kind, made in (("TaskDefinition", definition), ("Service", service))
        )
    )
    port = free_port()
    with Mesh(file, publish=[f"{port}=one:80"], secrets={"the-word": "t0p"}) as mesh:
        mesh.wait_steady()
        assert mesh.call("http://one/").text == "t0p"
        assert mesh.call(f"http://127.0.0.1:{port}/").text == "t0p"
        newest = mesh.timeline()[-1].sequence
        events = mesh.follow(after=newest, type="EDS")
        mesh.scale("one", 2)
        assert next(event for event in events if event.kind == "send").names == ["svc/n/http"]
        events.close()
        logs = "".join(file.read_text() for file in (mesh.home.root / "log").iterdir())
        assert "t0p" not in logs


@pytest.mark.slow("a second mesh is brought up and ended in it")
def test_two_meshes_stand_side_by_side(mesh):
    with Mesh(SHOP) as other:
        mesh.apply(SHOP)
        for each in (mesh, other):
            each.wait_steady()
            assert each.call("http://web/", from_task="web").status == 200
        assert mesh.processes().serve != other.processes().serve


def test_nothing_is_left_behind(mesh):
    mesh.apply(SHOP)
    mesh.wait_steady()
    known = mesh.processes().everything
    home = mesh.home.root
    mesh.close()
    assert len(known) > 20
    assert not any(process.alive() for process in known)
    assert not home.exists()


def test_a_mesh_whose_supervisor_is_killed_ends_by_itself(mesh):
    mesh.apply(SHOP)
    mesh.wait_steady()
    known = mesh.processes()
    known.up.kill()
    deadline = time.monotonic() + 60
    while left := [process for process in known.everything if process.alive()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
