"""Faults that were not thought of when `tsunagu why` was built, made on one real mesh: a second list beside test_why_faults.py.

What holds for each: it is not wrong and sure at once. Where the cause can be seen, the sentence names it.
"""

import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.e2e import why_lab as lab
from tests.e2e.commands import tsunagu
from tests.e2e.test_why_flags import lean_endpoints
from tests.e2e.why_lab import client, definition, faulty, service, why
from tsunagu.model.ids import task_id
from tsunagu.testing import CallFailed, Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ODD = str(lab.APP.with_name("odd_app.py"))
#: target of a call from `web` -> (kind, how sure, a pattern of the sentence); the name is the fault of its app.
APPS = {
    "loopback6": ("app-listens-elsewhere", "sure", r"listens at \[::1\]:8080 alone"),
    "backlog": ("app-accepts-nothing", "sure", r"listens at port 8080 and accepts no connection \(its queue is full\)"),
    "frozen": ("app-hangs", "likely", r"has not answered for \d+\.\d s; a call is cut after 15 s"),
    "partial": ("app-closes", "sure", r"closes the connection in the middle of its answer's head"),
    "cut": ("app-closes", "sure", r"answers 200, and closes the connection in the middle of the body"),
    "large": ("works", "sure", r"answered 200 in"),
    "endless": ("works", "sure", r"its body had not ended after \d+\.\d s; a call is cut after 15 s, body and all"),
    "many": ("app-head", "sure", r"answers with 20\d headers, and a proxy takes 100 of 60 KiB"),
    "huge": ("app-head", "sure", r"answers with headers of \d+ KiB"),
    "malformed": ("app-bad-http", "sure", r"answers with HTTP that cannot be read"),
    "lengths": ("app-bad-http", "sure", r"answers with HTTP that cannot be read"),
    "early": ("works", "sure", r"answered 200"),
    "old": ("works", "sure", r"answered 200"),
    "greets": ("app-no-http", "sure", r"answers a request with what is no HTTP"),
    "binary": ("app-no-http", "sure", r"answers a request with what is no HTTP"),
    "go-tls": ("app-tls", "sure", r"expects TLS"),
    "nginx-tls": ("app-tls", "sure", r"expects TLS"),
    "openssl": ("app-tls", "sure", r"expects TLS"),
    "mimics": ("app-5xx", "sure", r"itself answers 503"),
    "only-name": ("works", "sure", r"answered 200"),
    "grpc": ("app-http2", "sure", r"speaks HTTP/2 alone, and the port mapping says appProtocol http"),
}
STARTING = {"unix": ("not-admitted", "sure", r"nothing in it listens at port 8080")}
UNSURE = ("single", "alternates")
GRPC = {
    "rpc": ("grpc", ("works", "sure", r"answered 200")),
    "rpc-down": ("grpc-unavailable", ("app-grpc", "sure", r"grpc-status 14 \('no ledger'\)")),
    "rpc-sick": ("grpc-sick", ("app-grpc", "sure", r"whose health service says NOT_SERVING")),
}
TCP = {
    "tcp-frozen": ("frozen", ("works", "sure", r"no byte was sent, so nothing is known of what the app would answer")),
    "tcp-greets": ("greets", ("works", "sure", r"the other side speaks")),
    "tcp-tls": ("openssl", ("works", "sure", r"stays open")),
}


def odd(name, fault, **more):
    made, offered = faulty(name, fault, **more)
    made["containerDefinitions"][0]["command"][2] = ODD
    return made, offered


def manifests():
    yield {"kind": "Namespace", "name": "shop"}
    yield {"kind": "Namespace", "name": "corp.internal", "type": "DNS_PRIVATE"}
    for name in ("plain", "empty"):
        records = {"dnsRecords": [{"type": "A", "ttl": 5}]}
        yield {
            "kind": "CloudMapService",
            "name": f"corp.internal/{name}",
            "dnsConfig": records,
            "healthCheckCustomConfig": {},
        }
    yield from client("web")
    for name in (*APPS, *STARTING, *UNSURE):
        yield from odd(name, name)
    for name, (fault, _) in GRPC.items():
        yield from odd(name, fault, protocol="grpc")
    for name, (fault, _) in TCP.items():
        yield from odd(name, fault, protocol="tcp")
    yield from faulty("api", "ok")
    yield from faulty("other", "status", "418")
    yield from faulty("three", "ok", service_fields={"desiredCount": 3})
    yield definition("plain", "ok")
    yield service("plain", {"enabled": False}, serviceRegistries=[{"registryArn": "corp.internal/plain", "port": 8080}])
    yield definition("limited", "ok")
    yield service("limited", {"namespace": "shop"}, tsunagu={"backends": ["other"]})


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as running:
        running.apply(text=lab.text(*manifests()))
        ready = (*APPS, *UNSURE, *GRPC, *TCP, "web", "api", "other", "three", "plain", "limited")
        running.wait_until(lambda: all(serves(running, name) for name in ready), 180, f"tasks of {ready}")
        running.wait_converged(60)
        yield running


def serves(mesh, name):
    return any(task.task.status.last_status == "RUNNING" for task in mesh.tasks(name))


def says(mesh, target, expected, task="web", **more):
    """Ask, and hold the answer against (kind, how sure, a pattern of the sentence)."""
    asked, (kind, sure, words) = why(mesh, task, target, **more), expected
    assert (asked.kind, asked.sure) == (kind, sure), asked
    assert re.search(words, asked.sentence), asked
    return asked


TOLD = {**APPS, **STARTING, **{name: told for name, (_, told) in {**GRPC, **TCP}.items()}}


@pytest.mark.parametrize("name", TOLD)
def test_apps(mesh, name):
    says(mesh, f"{name}:80", TOLD[name])


@pytest.mark.parametrize("name", UNSURE)
def test_apps_that_fail_now_and_then_make_nobody_sure(mesh, name):
    """One connection at a time, and each second request fails: a call may just have come through."""
    for _ in range(2):
        asked = why(mesh, "web", f"{name}:80", patience=0.7)
        assert asked.kind == "works" or asked.sure != "sure" or asked.facts.answer.status == 503, asked


NAMES = {
    "plain.corp.internal:8080": (
        "dns-name",
        "sure",
        r"a DNS name \(Service Discovery\) of 10\.88\.\d+\.\d+; .* past the mesh",
    ),
    "empty.corp.internal:80": ("dns-empty", "sure", r"without an address at this moment; tsunagu resolve empty"),
    "nope.corp.internal:80": ("unknown-name", "sure", r"nobody in shop has the name nope\.corp\.internal"),
    "example.com:443": ("outside", "sure", r"example\.com is nothing of the mesh: a call to it leaves"),
    "[::1]:80": ("itself", "sure", r"::1 is web-\w+ itself"),
    "0.0.0.0:80": ("itself", "sure", r"0\.0\.0\.0 is web-\w+ itself"),
    "grpc://api:80": ("grpc-to-http", "sure", r"api:80 is an http port"),
    "tcp://rpc:80": ("tcp-to-http", "sure", r"rpc:80 is a grpc port"),
}


@pytest.mark.parametrize("target", NAMES)
def test_names(mesh, target):
    says(mesh, target, NAMES[target])


def test_a_name_that_is_no_backend_of_the_caller(mesh):
    says(mesh, "api:80", ("not-a-backend", "sure", r"limited has said that it calls other alone"), task="limited")
    assert why(mesh, "limited", "other:80").kind == "app-4xx"


def test_an_instance_that_was_registered_and_is_not_there(mesh):
    for name, protocol in (("dead", "tcp"), ("gone", "http")):
        tsunagu(mesh, "register", f"shop/{name}", "127.0.0.1:9", "--protocol", protocol)
        says(
            mesh,
            f"{name}:9",
            ("instance-down", "likely", rf"{name} is registered at 127\.0\.0\.1:9, and nothing there"),
        )


def test_an_instance_that_is_there(mesh):
    """Its address is that of no task, and nothing strange."""
    with socketserver() as port:
        tsunagu(mesh, "register", "shop/here", f"127.0.0.1:{port}")
        says(mesh, f"here:{port}", ("works", "sure", r"web-\w+ reaches here"))


class socketserver:
    """Something of this machine that listens."""

    def __enter__(self):
        import socket

        self.listening = socket.create_server(("127.0.0.1", 0))
        return self.listening.getsockname()[1]

    def __exit__(self, *_):
        self.listening.close()


def rule(name, prefix, **more):
    action = more.pop("action", {"weightedTargets": [{"target": "api"}]})
    return {
        "kind": "Route",
        "name": f"shop/{name}",
        "alias": "api:80",
        "match": {"prefix": prefix},
        "action": action,
        **more,
    }


def test_routes_of_the_user(mesh):
    to_api = {"weightedTargets": [{"target": "api"}]}
    broken = {**to_api, "rewrite": {"prefix": "/status/500"}}
    mesh.apply(
        text=lab.text(
            rule("delay", "/delay", fault={"delay": {"percent": 100, "fixed": {"unit": "s", "value": 9}}}),
            rule("abort", "/abort", fault={"abort": {"percent": 100, "httpStatus": 404}}),
            rule("redirect", "/moved", action={"redirect": {"host": "example.com"}}),
            rule("rewrite", "/fine", action=broken),
            rule("split", "/split", action={"weightedTargets": [{"target": "api"}, {"target": "other"}]}),
            rule("gets", "/gets", action={"fixedResponse": {"statusCode": 410}})
            | {"match": {"prefix": "/gets", "method": "GET"}},
            rule("posts", "/posts", action={"fixedResponse": {"statusCode": 410}})
            | {"match": {"prefix": "/posts", "method": "POST"}},
            rule("beta", "/beta", action={"weightedTargets": [{"target": "other"}]})
            | {"match": {"prefix": "/beta", "headers": [{"name": "x-beta"}]}},
            rule("timeout", "/slow", timeout={"perRequest": {"unit": "ms", "value": 400}}),
        )
    )
    mesh.wait_converged()
    says(mesh, "http://api/delay", ("fault-injected", "likely", r"delays calls of api:80 by 9 s"))
    says(mesh, "http://api/abort", ("fault-injected", "sure", r"answers 404 for api:80"))
    says(mesh, "http://api/moved", ("route-answers", "sure", r"by itself \(redirect;"))
    says(mesh, "http://api/fine", ("app-5xx", "likely", r"the app of api answers 500"))
    says(mesh, "http://api/slow/4", ("app-hangs", "sure", r"a call is cut after 0\.4 s"))
    says(mesh, "http://api/gets", ("route-answers", "sure", r"by itself \(status 410;"))
    says(mesh, "http://api/posts", ("works", "sure", r"answered 200"))
    says(mesh, "http://api/beta", ("works", "sure", r"calls go to svc/shop/other as well"))
    asked = why(mesh, "web", "http://api/split")
    assert "svc/shop/other as well" in asked.sentence or "one of the apps behind api:80" in asked.sentence, asked
    for name in ("delay", "abort", "redirect", "rewrite", "timeout", "split", "gets", "posts", "beta"):
        mesh.delete("Route", f"shop/{name}")
    mesh.wait_converged()


def test_calls_that_wait_for_a_connection(mesh):
    limit = {"http": {"maxConnections": 1, "maxPendingRequests": 5}}
    mesh.apply(text=lab.text({"kind": "TrafficPolicy", "name": "shop/three", "connectionPool": limit}))
    mesh.wait_converged()

    def slow():
        try:
            mesh.call("http://three/slow/4", from_task="web", timeout=9)
        except CallFailed as error:
            failed.append(error)

    failed: list[CallFailed] = []
    callers = [threading.Thread(target=slow) for _ in range(5)]
    for one in callers:
        one.start()
    mesh.wait_until(lambda: waiting(mesh), 60, "a call that waits")
    told = ("overflow", "likely", r"\d calls of three:80 wait for a connection .*\(max_connections 1\)")
    says(mesh, "three:80", told, patience=1.0)
    for one in callers:
        one.join()
    mesh.delete("TrafficPolicy", "shop/three")
    mesh.wait_converged()


def waiting(mesh):
    page = mesh.envoy("web", "/stats?filter=svc/shop/three.upstream_rq_pending_active").text
    return int(page.rpartition(":")[2] or 0) > 0


def test_one_of_three(mesh):
    one = task_id(mesh.tasks("three")[0])
    mesh.kill(f"app:{one}", signal.SIGSTOP)
    asked = why(mesh, "web", "three:80")
    mesh.kill(f"app:{one}", signal.SIGCONT)
    assert asked.kind == "app-hangs", asked
    assert "(1 of 3 tasks)" in asked.sentence
    mesh.kill(f"envoy:{one}", signal.SIGSTOP)
    asked = why(mesh, "web", "three:80")
    mesh.kill(f"envoy:{one}", signal.SIGCONT)
    assert asked.kind == "server-envoy-down", asked
    assert "(1 of 3 tasks)" in asked.sentence


@pytest.mark.slow("a service starts while responses are held back")
def test_what_is_held_back_from_another_name_is_no_fault_of_this_one(mesh):
    web = task_id(mesh.task("web"))
    for kind in ("CDS", "EDS"):
        tsunagu(mesh, "xds", "hold", web, kind, "--for", "60s")
    mesh.apply(text=lab.text(*faulty("late", "ok")))
    mesh.wait_until(lambda: serves(mesh, "late"), 60, "late")
    says(mesh, "three:80", ("works", "sure", r"answered 200"))
    assert why(mesh, "web", "late:80").kind == "held"
    for kind in ("CDS", "EDS"):
        tsunagu(mesh, "xds", "hold", web, kind, "--release")
    mesh.wait_converged()


def test_endpoints_that_lead_to_another_app(mesh):
    """The app that answers is not the one that was called: nothing of its answer is api's."""
    assignment = lean_endpoints("svc/shop/api", mesh.task("other").task.status.ip, 15100)
    mesh.override("shop", "EDS", "svc/shop/api", bytes(assignment))
    mesh.wait_converged()
    asked = why(mesh, "web", "api:80")
    mesh.override("shop", "EDS", "svc/shop/api")
    mesh.wait_converged()
    assert (asked.kind, asked.sure) == ("strange-endpoints", "likely"), asked
    assert "which is no task of api; a resource is overridden" in asked.sentence


def nft(mesh, task, rules):
    pid = mesh.processes().named(f"envoy:{task_id(mesh.task(task))}").pid
    command = ["nsenter", "-t", str(pid), "-U", "-n", "--preserve-credentials", "nft", rules]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nft in a task: {done.stderr}")


def test_packets_that_are_dropped_on_their_way(mesh):
    drop = "iifname != lo tcp dport 15100 drop"
    nft(
        mesh,
        "api",
        "add table inet f; add chain inet f i { type filter hook input priority 0; }; add rule inet f i " + drop,
    )
    says(mesh, "api:80", ("unreachable", "likely", r"packets to it get no answer"), patience=5)
    nft(mesh, "api", "delete table inet f")


def test_a_hosts_file_that_somebody_has_changed(mesh):
    """As it is, not as the node agent has written it: of two lines the first counts."""
    app = mesh.processes().named(f"app:{task_id(mesh.task('limited'))}").pid
    path = Path(f"/proc/{app}/root/etc/hosts")
    before = path.read_bytes()
    with path.open("r+b") as hosts:
        hosts.write(b"10.9.9.9 other\n" + before)
    asked = why(mesh, "limited", "other:80")
    with path.open("r+b") as hosts:
        hosts.write(before)
        hosts.truncate()
    assert (asked.kind, asked.sure) == ("old-address", "sure"), asked
    assert re.search(r"other is 10\.9\.9\.9 in /etc/hosts of limited-\w+, and 127\.255\.", asked.sentence), asked


def test_the_capture_rule_is_gone(mesh):
    """It is last: from then on `limited` reaches nobody."""
    nft(mesh, "limited", "flush ruleset")
    says(mesh, "other:80", ("not-captured", "likely", r"the rule that leads it there is gone"), task="limited")


def test_a_caller_that_stops_while_it_is_looked_at(mesh):
    """Its Envoy ends with it: that is no Envoy that hangs."""
    found = mesh.task("limited")
    mesh.scale("limited", 0)

    def asked():
        return why(mesh, task_id(found), "other:80", patience=0.3)

    seen = [asked()]
    mesh.wait_until(lambda: seen.append(asked()) or seen[-1].kind == "caller-stopped", 60, "it has stopped")
    assert {one.kind for one in seen} <= {"not-captured", "caller-not-running", "caller-stopped"}, seen
