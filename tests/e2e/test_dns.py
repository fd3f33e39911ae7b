"""DNS inside tasks of a running mesh, at this machine's loopback, and `tsunagu resolve` and `connect`."""

import json
import os
import signal
import socket
import subprocess
import sys
from ipaddress import ip_network

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.e2e.commands import tsunagu
from tests.e2e.next_agent import kill_node_agent
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ECHO = """
import socket, threading
def tcp():
    server = socket.create_server(("", 7000))
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(client.recv(99))
threading.Thread(target=tcp).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 7000))
while True:
    piece, caller = udp.recvfrom(99)
    udp.sendto(piece + b" from " + caller[0].encode(), caller)
"""
ASKER = """
import socket, time
while True:
    try:
        socket.gethostbyname("echo.corp.internal")
        print("found", flush=True)
    except OSError as error:
        print("lost", error, flush=True)
    time.sleep(0.02)
"""
#: A node agent may take longer to start on a busy machine than the 10 s that a resolver waits in all.
PATIENT = [{"name": "RES_OPTIONS", "value": "timeout:30"}]
PORTS = [{"name": "tcp", "containerPort": 7000}, {"containerPort": 7000, "protocol": "udp"}]
ALIAS = {"portName": "tcp", "discoveryName": "echo", "clientAliases": [{"port": 7, "dnsName": "echo"}]}
RECORDS = [{"type": "A", "ttl": 1}, {"type": "SRV", "ttl": 1}]


def manifests(image: str) -> str:
    containers = [
        {"name": "app", "image": image, "command": ["python3", "-c", ECHO], "portMappings": PORTS},
        {"name": "asker", "image": image, "command": ["python3", "-c", ASKER], "environment": PATIENT},
    ]
    objects = [
        {"kind": "Namespace", "name": "shop"},
        {"kind": "Namespace", "name": "corp.internal", "type": "DNS_PRIVATE"},
        {"kind": "CloudMapService", "name": "corp.internal/echo", "dnsConfig": {"dnsRecords": RECORDS}},
        {"kind": "TaskDefinition", "family": "echo", "containerDefinitions": containers},
        {
            "kind": "Service",
            "serviceName": "echo",
            "taskDefinition": "echo",
            "desiredCount": 1,
            "serviceRegistries": [{"registryArn": "corp.internal/echo", "port": 7000}],
            "serviceConnectConfiguration": {"enabled": True, "namespace": "shop", "services": [ALIAS]},
        },
    ]
    return "\n---\n".join(map(json.dumps, objects))


# A resolver that asks once says EAI_AGAIN when no answer comes, and never that there is no such name.
ASK = """
import json, os, socket
os.environ["RES_OPTIONS"] = "attempts:1 timeout:10"
def find(name):
    try: return sorted({a[4][0] for a in socket.getaddrinfo(name, 80)})
    except OSError as error: return [type(error).__name__, error.args[0]]
print(json.dumps({name: find(name) for name in ("echo.corp.internal", "ECHO.corp.Internal", "echo", "nobody.corp.internal", "example.com")}))
"""


@pytest.fixture(scope="module", params=["linux", "docker"])
def runtime(request):
    return request.param


@pytest.fixture(scope="module")
def mesh(runtime, request):
    docker = runtime == "docker"
    image = request.getfixturevalue("engine").base if docker else "echo:1"
    engine = request.getfixturevalue("engine").host if docker else "unix:///nowhere"
    with Mesh(runtime=runtime, environment={"DOCKER_HOST": engine}) as mesh:
        mesh.apply(text=manifests(image))
        mesh.wait_steady()
        wait_told(mesh)
        yield mesh


def server(mesh) -> str:
    """ADDRESS:PORT of the name server for this machine; empty while there is none."""
    return mesh.get("Node", "laptop").node.dns


def ask(mesh, name: str, kind: str = "A", way=dns.query.udp, timeout=20):
    host, _, port = server(mesh).rpartition(":")
    return way(dns.message.make_query(name, kind), host, port=int(port), timeout=timeout)


def wait_told(mesh):
    """Wait until the name server gives the task: it hears of it, as of all others, after the registry."""

    def is_told() -> bool:
        try:
            return bool(server(mesh) and ask(mesh, "echo.corp.internal", timeout=2).answer)
        except (OSError, dns.exception.DNSException):  # it does not listen yet
            return False

    mesh.wait_until(is_told, 60, "an answer with the task")


def test_the_c_library_finds_names_in_tasks(mesh):
    found = json.loads(mesh.execute("echo", "python3", "-c", ASK).stdout)
    address = mesh.task("echo").task.status.ip
    assert found["echo.corp.internal"] == found["ECHO.corp.Internal"] == [address]
    assert found["echo"][0].startswith("127.255.")
    assert found["nobody.corp.internal"] == ["gaierror", socket.EAI_NONAME]


@pytest.mark.parametrize("runtime", ["linux"], indirect=True)  # the image has no such program
def test_other_programs_that_resolve_find_them_too(mesh):
    out = mesh.execute("echo", "getent", "ahostsv4", "echo.corp.internal").stdout
    assert out.split()[0].decode() == mesh.task("echo").task.status.ip


def test_programs_of_this_machine_reach_the_twin_by_tcp_and_udp(mesh):
    for way in (dns.query.udp, dns.query.tcp):
        reply = ask(mesh, "echo.corp.internal", "SRV", way)
        (record,) = reply.answer[0]
        (address,) = reply.additional[0]
        assert (record.port, address.address) == (7000, mesh.task("echo").task.status.twin.ip)
    place = (address.address, record.port)
    with socket.create_connection(place, 20) as client:
        client.sendall(b"over tcp")
        assert client.recv(99) == b"over tcp"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(b"over udp", place)
        caller = client.recv(99).decode().removeprefix("over udp from ")
        node = mesh.get("Node", "laptop").node
        assert caller == str(ip_network(node.task_cidr)[1]), "a caller from outside, and no task"


def test_other_names_are_refused_to_this_machine(mesh):
    assert ask(mesh, "example.com").rcode() == dns.rcode.REFUSED
    assert ask(mesh, "nobody.corp.internal").rcode() == dns.rcode.NXDOMAIN


def test_a_killed_node_agent_is_not_noticed_by_tasks_that_resolve(mesh):
    before = mesh.task("echo").task.status.twin.ip
    lost = failures(mesh)
    kill_node_agent(mesh)
    wait_told(mesh)
    lines = mesh.logs("echo", "asker")
    known = len(lines)
    mesh.wait_until(lambda: len(mesh.logs("echo", "asker")) > known, 60, "the task asks on")
    if mesh.get("Node", "laptop").node.runtime == "linux":  # whose tasks keep the sockets
        assert failures(mesh) == lost, "those from before the task was RUNNING, which it was told, too"
    assert mesh.task("echo").task.status.twin.ip == before
    with socket.create_connection((before, 7000), 20) as client:
        client.sendall(b"again")
        assert client.recv(99) == b"again"


def failures(mesh) -> list[str]:
    return [line for line in mesh.logs("echo", "asker") if "lost" in line]


def test_resolve_says_what_is_told_and_why(mesh):
    told = json.loads(tsunagu(mesh, "resolve", "echo.corp.internal", "-o", "json"))
    status = mesh.task("echo").task.status
    assert [record["value"] for record in told["forTasks"]] == [status.ip]
    assert [record["value"] for record in told["forThisMachine"]] == [status.twin.ip]
    assert told["instances"][0]["why"] == "HEALTHY"
    assert 'did you mean "echo.corp.internal"?' in tsunagu(mesh, "resolve", "ecko.corp.internal", code=4)


@pytest.mark.parametrize("runtime", ["linux"], indirect=True)
def test_connect_runs_a_command_as_a_member_of_a_namespace(mesh, tmp_path):
    code = "import os, socket, sys; s = socket.create_connection(('echo', 7)); s.sendall(sys.stdin.buffer.read()); print(s.recv(99).decode(), os.getcwd(), os.environ['MINE']); sys.exit(3)"
    done = subprocess.run(
        [sys.executable, "-m", "tsunagu.cli", "connect", "--home", str(mesh.home.root), "shop", "--", sys.executable, "-c", code],
        input="hello", capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "MINE": "yes"}, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == (f"hello {tmp_path} yes\n", 3), done.stderr
    mesh.wait_until(lambda: not left(mesh), 60, "nothing of it is left")


@pytest.mark.parametrize("runtime", ["linux"], indirect=True)
def test_connect_passes_signals_on_and_leaves_nothing_when_it_is_killed(mesh):
    trap = "trap 'echo terminated; exit 7' TERM; echo up; while :; do sleep 0.05; done"
    command = [
        sys.executable,
        "-m",
        "tsunagu.cli",
        "connect",
        "--home",
        str(mesh.home.root),
        "shop",
        "--",
        "sh",
        "-c",
        trap,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "up\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 7
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "up\n"
        running.kill()
    mesh.wait_until(lambda: not left(mesh), 60, "its task, service and task definition are gone")


def left(mesh) -> list[str]:
    kinds = ("Service", "TaskDefinition", "ServiceRevision")
    names = [obj.meta.name for kind in kinds for obj in mesh.objects(kind)]
    tasks = [task.meta.name for task in mesh.tasks()]
    return [name for name in (*names, *tasks) if "connect-" in name]
