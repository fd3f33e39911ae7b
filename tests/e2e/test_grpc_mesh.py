"""gRPC's own xDS clients in a mesh: no Envoy on their side, real calls by `xds:///`, traffic that follows the tasks."""

import json
import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.commands import tsunagu
from tsunagu.kit import tokens
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, NotConverged
from tsunagu.v1 import endpoint_pb2

pytestmark = [pytest.mark.e2e, pytest.mark.envoy, pytest.mark.case(143)]

HERE = Path(__file__).parent
GREETER = "xds:///greeter:50051"
APPS = HERE / "grpc_apps.py"
CLIENT = HERE / "grpc_client.py"

MANIFESTS = f"""
kind: Image
pattern: test/echo
command: [{sys.executable}, {APPS}, serve, "50051"]
---
kind: Image
pattern: test/caller
command: [{sys.executable}, {APPS}, call, "{GREETER}"]
---
kind: TaskDefinition
family: greeter
networkMode: awsvpc
containerDefinitions:
- name: app
  image: test/echo
  portMappings: [{{name: rpc, containerPort: 50051, appProtocol: grpc}}]
---
kind: TaskDefinition
family: caller
networkMode: awsvpc
containerDefinitions: [{{name: app, image: test/caller}}]
---
kind: Service
serviceName: greeter
taskDefinition: greeter
desiredCount: 2
serviceConnectConfiguration:
  enabled: true
  namespace: talk
  services: [{{portName: rpc, clientAliases: [{{port: 50051, dnsName: greeter}}]}}]
---
kind: Service
serviceName: caller
taskDefinition: caller
desiredCount: 2
serviceConnectConfiguration: {{enabled: true, namespace: talk}}
"""


@pytest.fixture(scope="module")
def talk():
    with Mesh() as mesh:
        mesh.apply(text=MANIFESTS)
        mesh.wait_steady()
        yield mesh


def ids(mesh, service="greeter"):
    return {task_id(task) for task in mesh.tasks(service) if task.task.status.last_status == "RUNNING"}


def log_lines(mesh, word):
    """What all callers have printed so far, by kind of line."""
    lines = [line for task in mesh.tasks("caller") for line in mesh.logs(task_id(task), "app")]
    return [line.removeprefix(word + " ") for line in lines if line.startswith(word)]


def clients(mesh):
    """The callers' streams, as `tsunagu proxies` shows them."""
    return [proxy for proxy in mesh.proxies() if proxy.name.startswith("grpc/")]


def ask(mesh, task, *targets):
    """One call of each target by a new program inside a task."""
    done = mesh.execute(task, sys.executable, str(CLIENT), *targets, stdin=b"60\n", timeout=90)
    return json.loads(done.stdout)


def test_every_task_of_the_service_is_called(talk):
    talk.wait_until(lambda: set(log_lines(talk, "ANSWER")) == ids(talk), what="answers of both tasks")
    assert log_lines(talk, "FAILED") == []


def test_each_program_is_a_client_of_its_own_and_is_seen(talk):
    owners = {f"grpc/talk/{task.meta.name}#1" for task in talk.tasks("caller")}
    talk.wait_until(lambda: {client.name for client in clients(talk)} == owners, what="both callers")
    whole = dict.fromkeys(("LDS", "RDS", "CDS", "EDS"), ("SYNCED", 1))

    def all_have_all():
        """They ask for one type after the other, so none of them is behind because the next was not asked for yet."""
        states = [{kind.type: (kind.state, kind.resources) for kind in client.types} for client in clients(talk)]
        return states == [whole] * len(owners)

    talk.wait_until(all_have_all, 60, "all four types of both callers")
    seen = clients(talk)
    for client in seen:
        assert (client.namespace, client.service, client.variant) == ("talk", "default/caller", "sotw")
    wanted = [event for event in talk.timeline(proxy=seen[0].name, type="LDS") if event.kind == "subscribe"]
    assert [list(event.names) for event in wanted] == [["greeter:50051"]]


def test_no_envoy_hears_of_api_listeners(talk):
    envoys = {proxy.name for proxy in talk.proxies()} - {client.name for client in clients(talk)}
    events = [event for name in envoys for event in talk.timeline(proxy=name, type="LDS")]
    assert not [event for event in events if "greeter:50051" in event.names]
    assert [event for event in events if event.kind == "nack"] == []


def test_endpoints_move_and_traffic_follows_without_a_lost_call(talk):
    before = ids(talk)
    talk.scale("greeter", 3)
    talk.wait_steady()
    added = ids(talk) - before
    talk.wait_until(lambda: added <= set(log_lines(talk, "ANSWER")), what="answers of the new task")
    for gone in sorted(before):
        talk.stop(gone)
    talk.wait_until(lambda: not before & {task_id(task) for task in talk.tasks("greeter")}, what="the old ones to stop")
    talk.wait_steady()
    talk.wait_until(lambda: ids(talk) <= set(log_lines(talk, "ANSWER")), what="answers of all new tasks")
    assert log_lines(talk, "FAILED") == []


def test_a_service_without_tasks_is_unavailable_and_comes_back(talk):
    talk.scale("greeter", 0)
    talk.wait_until(lambda: not talk.tasks("greeter"), what="no task")
    talk.wait_converged()
    answer = ask(talk, "caller", GREETER)[GREETER]
    assert answer["code"] == "UNAVAILABLE"
    assert "svc/talk/rpc" in answer["text"]
    talk.scale("greeter", 1)
    talk.wait_steady()
    assert ask(talk, "caller", GREETER)[GREETER] == {"code": "OK", "text": ids(talk).pop()}


def test_a_refusal_is_named_and_heals(talk):
    """An assignment with one endpoint twice: Envoy takes it, gRPC does not."""
    talk.wait_converged()
    ip = next(task.task.status.ip for task in talk.tasks("greeter"))
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name="svc/talk/rpc")
    group = message.endpoints.add(locality={"region": "local"}, load_balancing_weight={"value": 1})
    for _ in range(2):
        socket = group.lb_endpoints.add().endpoint.address.socket_address
        socket.address, socket.port_value = ip, 50051
    talk.override("talk", "EDS", "svc/talk/rpc", message.SerializeToString())
    refusing = {client.name for client in clients(talk)}

    def refused():
        """Who has not answered yet is missing, too, with another reason."""
        with pytest.raises(NotConverged) as caught:
            talk.wait_converged(0)
        reasons = caught.value.missing
        told = all("EDS NACKed: svc/talk/rpc" in reason and "duplicate" in reason for reason in reasons.values())
        return told and reasons.keys() == refusing

    talk.wait_until(refused, 60, "a refusal by all clients, and by nobody else")
    talk.override("talk", "EDS", "svc/talk/rpc")
    talk.wait_converged(60)


def test_the_token_is_nowhere_but_in_its_file(talk):
    task = talk.task("caller")
    name = f"grpc/talk/{task.meta.name}"
    token = tokens.mint((talk.home.root / "key").read_bytes(), name)
    path = talk.home.tasks / task_id(task) / "grpc-bootstrap.json"
    assert token in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert talk.execute("caller", "printenv", "GRPC_XDS_BOOTSTRAP").text.strip() == str(path)
    shown = "".join(map(str, (*talk.timeline(), *talk.proxies(), *talk.objects()))).encode()
    shown += b"".join(log.read_bytes() for log in (talk.home.root / "log").iterdir())
    assert token.encode() not in shown
    assert token.rpartition(".")[2].encode() not in shown


def test_the_command_for_programs_outside(talk, tmp_path):
    file = tmp_path / "bootstrap.json"
    command = [sys.executable, "-m", "tsunagu.cli", "grpc-bootstrap", "billing", "--output", str(file)]
    done = subprocess.run(
        [*command, "--home", str(talk.home.root)], capture_output=True, text=True, timeout=90, check=True
    )
    assert done.stdout == ""
    assert GREETER in done.stderr
    assert "only other tasks reach" in done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with _from_outside(file) as client:
        # The control plane is reached; the tasks' network is not (linux runtime).
        assert _code(client) in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        acks = lambda: {event.proxy for event in talk.timeline() if event.kind == "ack"}  # noqa: E731
        talk.wait_until(lambda: "grpc/talk/billing#1" in acks(), 60, "an ACK of the program outside")


def test_a_forged_token_is_refused(talk, tmp_path):
    file = tmp_path / "bootstrap.json"
    task = talk.task("caller")
    bootstrap = json.loads((talk.home.tasks / task_id(task) / "grpc-bootstrap.json").read_text())
    bootstrap["node"]["metadata"]["tsunagu.token"] = tokens.mint(b"x" * 32, "grpc/talk/forged")
    file.write_text(json.dumps(bootstrap))
    with _from_outside(file) as client:
        assert _code(client) in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert "grpc/talk/forged#1" not in {event.proxy for event in talk.timeline()}


@contextmanager
def _from_outside(bootstrap):
    """A client of the greeter that is no task; its connections stay open for as long as the block lasts."""
    environment = {**os.environ, "GRPC_XDS_BOOTSTRAP": str(bootstrap), "GRPC_VERBOSITY": "NONE"}
    command = [sys.executable, str(CLIENT), GREETER]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        yield client
        client.stdin.close()
        assert client.wait(60) == 0


def _code(client):
    """The status of one call of that client."""
    client.stdin.write(b"2\n")
    client.stdin.flush()
    return json.loads(client.stdout.readline())[GREETER]["code"]


def test_who_would_be_shut_out_by_strict_tls_is_said_by_apply_and_is_shut_out(talk, tmp_path):
    owners = {task.meta.name for task in talk.tasks("caller")}
    talk.wait_until(
        lambda: {one.name for one in clients(talk)} >= {f"grpc/talk/{one}#1" for one in owners}, 60, "both callers"
    )
    file = tmp_path / "talk.yaml"
    file.write_text("{kind: Namespace, name: talk, tls: strict}")
    warned = "warning: namespace talk takes TLS alone, and gRPC clients without a proxy have no identity"
    for words in (("--dry-run",), ()):
        said = tsunagu(talk, "apply", *words, file)
        assert warned in said
        assert all(f"{owner} ({GREETER})" in said for owner in owners)
    missing = "LDS resource greeter:50051: does not exist"
    talk.wait_until(lambda: any(missing in line for line in log_lines(talk, "FAILED")), 60, "a name that is not there")
    assert warned not in tsunagu(talk, "apply", file), "it is strict already"
