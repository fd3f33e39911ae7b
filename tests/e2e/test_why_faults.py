"""Faults of names, services and apps, made on real Envoys: what `tsunagu why` says to each, and how sure it is.

docs/why.md lists the same sentences; `tests/unit/cli/why` holds every rule against facts alone.
"""

import re

import pytest

from tests.e2e import why_lab as lab
from tests.e2e.connect_manifests import definition as echo
from tests.e2e.why_lab import client, definition, faulty, service, why
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SICK = {"healthCheck": {"command": ["CMD-SHELL", "echo no ledger; exit 4"], "interval": 5, "retries": 1}}
#: service -> its fault
APPS = {
    "api": ("ok",),
    "hangs": ("hang",),
    "closes": ("close",),
    "resets": ("reset",),
    "broken": ("status", "500"),
    "own": ("own-address",),
    "elsewhere": ("elsewhere", "9999"),
    "silent": ("silent",),
    "crash": ("crash",),
    "smtp": ("smtp",),
    "tls": ("tls",),
    "two": ("http2",),
    "leaver": ("ok",),
    "none": ("ok",),
}


def manifests():
    yield {"kind": "Namespace", "name": "shop"}
    yield {"kind": "Namespace", "name": "bank"}
    yield from client("web")
    for name, fault in APPS.items():
        yield from faulty(name, *fault, service_fields={"desiredCount": 0} if name == "none" else {})
    yield from faulty("ledger", "ok", namespace="bank")
    yield from faulty("sick", "ok", **SICK)
    yield from faulty("short", "ok", connect={"timeout": {"perRequestTimeoutSeconds": 1}})
    yield from faulty("idle", "ok", connect={"timeout": {"perRequestTimeoutSeconds": 0, "idleTimeoutSeconds": 1}})
    yield from faulty("rpc", "ok", protocol="grpc")
    yield from faulty("db", "close-at-once", protocol="tcp")
    yield from faulty("cache", "ok", protocol="tcp")
    yield echo("calls", ("main", "grpc", 9000))
    yield service(
        "calls", {"namespace": "shop", "services": [lab.offer("main", "calls", 50051, discoveryName="calls")]}
    )
    yield echo("multi", ("main", "http2", 9001))
    yield service("multi", {"namespace": "shop", "services": [lab.offer("main", "multi", 80, discoveryName="multi")]})
    yield definition("plain", "ok")
    yield service("plain", {"enabled": False})
    offered = {"namespace": "shop", "services": [lab.offer("main", "bills", 80, discoveryName="billing")]}
    yield definition("invoices", "ok")
    yield service("invoices", offered)


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as running:
        running.apply(text=lab.text(*manifests()))
        ready = [
            name
            for name in (*APPS, "web", "short", "idle", "rpc", "cache", "db", "calls", "multi")
            if name not in UNREADY
        ]
        running.wait_until(lambda: all(serves(running, name) for name in ready), 180, f"tasks of {ready}")
        running.wait_converged(60)
        yield running


UNREADY = {"elsewhere", "silent", "crash", "none"}


def serves(mesh, name):
    return any(task.task.status.last_status == "RUNNING" for task in mesh.tasks(name))


def id_of(mesh, name):
    return task_id(mesh.task(name))


#: target of a call from `web` -> (kind, a pattern of the sentence)
NAMES = {
    "api:8080": (
        "unknown-port",
        r"web called api:8080, the port at which the app of api listens; api offers 80; call api:80",
    ),
    "api:81": (
        "unknown-port",
        r"^web called api:81; api offers 80; call api:80, or give api a client alias with port 81\.$",
    ),
    "apii:80": ("unknown-name", r"nobody in shop has the name apii; did you mean \"api\"\?$"),
    "ledger:80": ("other-namespace", r"ledger is a name of namespace bank, and web is in shop"),
    "web:80": ("client-only", r"the service web is a client alone: it offers no port"),
    "plain:80": ("service-without-connect", r"the service plain has no Service Connect"),
    "billing:80": ("other-name", r"nobody in shop has the name billing; invoices is called bills:80"),
    "invoices:80": ("other-name", r"invoices is called bills:80"),
    "api.shop:80": ("other-name", r"nobody in shop has the name api\.shop; api is called api:80"),
    "https://api:80": ("https", r"called by https, and proxies expect plaintext at an http port; call http://api:80"),
    "tcp://api:80": ("tcp-to-http", r"api:80 is an http port, and what is no HTTP is answered with 400"),
    "localhost:80": ("itself", r"localhost is web-\w+ itself"),
    "10.88.77.77:80": ("address-not-name", r"10\.88\.77\.77 is no address of a name"),
    "none:80": ("desired-none", r"none is to have no task \(desiredCount 0\).*; tsunagu scale none=1\.$"),
}


@pytest.mark.parametrize("target", NAMES)
def test_names_and_ports(mesh, target):
    kind, words = NAMES[target]
    asked = why(mesh, "web", target)
    assert (asked.kind, asked.sure) == (kind, "sure"), asked
    assert re.search(words, asked.sentence), asked


APP_FAULTS = {
    "closes:80": ("app-closes", r"the app of closes-\w+ accepts a connection and closes it without an answer"),
    "resets:80": ("app-closes", r"the app of resets-\w+ accepts a connection and resets it without an answer"),
    "broken:80": ("app-5xx", r"the app of broken-\w+ itself answers 500 \('the app says 500'\)"),
    "own:80": (
        "app-listens-elsewhere",
        r"the app of own-\w+ listens at 10\.88\.\d+\.\d+:8080 alone, and its proxy calls 127\.0\.0\.1:8080",
    ),
    "smtp:80": ("app-no-http", r"the app of smtp-\w+ answers a request with what is no HTTP"),
    "tls:80": ("app-tls", r"the app of tls-\w+ expects TLS"),
    "two:80": ("app-http2", r"the app of two-\w+ speaks HTTP/2 alone, and the port mapping says appProtocol http"),
    "rpc:80": ("app-http1", r"the app of rpc-\w+ does not speak HTTP/2, and the port mapping says appProtocol grpc"),
    "http://short/slow/1.2": (
        "request-timeout",
        r"the app of short-\w+ needs \d+\.\d s to answer, and a call may take 1 s; raise perRequestTimeoutSeconds of short",
    ),
    "http://idle/slow/1.3": ("idle-timeout", r"no byte moved for 1 s \(idleTimeoutSeconds of idle\)"),
    "db:80": ("app-closes", r"the app of db-\w+ accepts a connection and closes it without an answer"),
}


@pytest.mark.parametrize("target", APP_FAULTS)
def test_apps(mesh, target):
    kind, words = APP_FAULTS[target]
    asked = why(mesh, "web", target)
    assert (asked.kind, asked.sure) == (kind, "sure"), asked
    assert re.search(words, asked.sentence), asked


@pytest.mark.parametrize("target", ["api:80", "http://api/status/201", "cache:80", "http://cache/"])
def test_what_works(mesh, target):
    asked = why(mesh, "web", target)
    assert (asked.kind, asked.sure) == ("works", "sure"), asked
    assert set(asked.way.values()) == {"ok"}


def test_an_app_that_hangs_is_only_likely_to_until_the_timeout_is_over(mesh):
    asked = why(mesh, "web", "hangs:80")
    assert (asked.kind, asked.sure) == ("app-hangs", "likely"), asked
    words = r"the app of hangs-\w+ accepts connections, and has not answered for [\d.]+ m?s; a call is cut after 15 s with 504"
    assert re.search(words, asked.sentence), asked
    assert "--timeout 16 would wait as long" in asked.sentence


@pytest.mark.parametrize("target", ["calls:50051", "grpc://calls", "multi:80", "multi:80/x"])
def test_grpc_and_http2_work(mesh, target):
    """By connections that Envoy translates: the probe speaks HTTP/1.1, the app HTTP/2 alone."""
    asked = why(mesh, "web", target)
    assert (asked.kind, asked.sure) == ("works", "sure"), asked


def test_a_path_that_the_app_does_not_have_is_not_the_mesh_s_fault(mesh):
    asked = why(mesh, "web", "http://api/nowhere")
    assert (asked.kind, asked.sure) == ("app-4xx", "sure"), asked
    assert "itself answers 404 for /nowhere; the mesh is not at fault; is it the right path?" in asked.sentence


STARTING = {
    "elsewhere:80": (
        "not-admitted-other-port",
        r"no task of elsewhere is RUNNING: elsewhere-\w+ listens at port 9999, and its port mapping says 8080",
    ),
    "silent:80": (
        "not-admitted",
        r"no task of silent is RUNNING yet; silent-\w+ is ACTIVATING and waits: nothing in it listens at port 8080",
    ),
    "sick:80": (
        "unhealthy",
        r"no task of sick is healthy; sick-\w+ is UNHEALTHY: its health check ended with 4: no ledger",
    ),
    "crash:80": (
        "failing-tasks",
        r"no task of crash is RUNNING; the last, crash-\w+, ended.*: Essential container in task exited: app, with code 3; last line of app: cannot open the ledger",
    ),
}


@pytest.mark.parametrize("target", STARTING)
def test_services_that_do_not_start(mesh, target):
    kind, words = STARTING[target]

    def asked():
        found = why(mesh, "web", target)
        return found if found.kind == kind and re.search(words, found.sentence) else None

    try:
        assert mesh.wait_until(asked, 60, f"{kind} of {target}").sure == "sure"
    except Exception as error:
        error.add_note(repr(why(mesh, "web", target)))
        raise


def test_an_app_that_has_stopped_listening(mesh):
    mesh.call("http://127.0.0.1:8080/leave", from_task="leaver")
    asked = mesh.wait_until(
        lambda: (found := why(mesh, "web", "leaver:80")).kind == "app-silent" and found, 60, "app-silent"
    )
    assert re.search(r"nothing in leaver-\w+ listens at port 8080 \(any more\)", asked.sentence), asked
    assert asked.sure == "sure"


def test_an_endpoint_is_ejected_though_its_app_is_well_again(mesh):
    mesh.call("http://127.0.0.1:8080/sick", from_task="api")
    for _ in range(3):
        mesh.call("http://api/", from_task="web")
    mesh.call("http://127.0.0.1:8080/well", from_task="api")
    asked = why(mesh, "web", "api:80")
    assert asked.kind == "ejected", asked
    assert re.search(
        r"1 of 1 endpoints of api:80 are ejected by the Envoy of web-\w+ \(10\.88\.\S+:8080\): 5 answers with 5xx",
        asked.sentence,
    )


def test_a_task_without_service_connect_calls_nobody(mesh):
    asked = why(mesh, "plain", "api:80")
    assert (asked.kind, asked.sure) == ("no-service-connect", "sure"), asked


def test_a_task_that_has_stopped(mesh):
    gone = next(task for task in mesh.tasks("crash", stopped=True) if task.task.status.last_status == "STOPPED")
    asked = why(mesh, task_id(gone), "api:80")
    assert (asked.kind, asked.sure) == ("caller-stopped", "sure"), asked
