"""Identity in containers: the modes of TLS under load, who may call whom, where keys are not, and services outside of the mesh.

What each of these promises is shown in whole by the modules of the linux runtime; here are those that containers could break.
"""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e import access_apps, access_lab, outside_lab
from tests.e2e.access_lab import PATIENCE, TCP, http, meant, policy, put
from tests.e2e.outside_lab import external, refusing, serving
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

APPS = "/access_apps.py"
ASKER = ("python3", APPS)
PORTS = {"http": 15400, "raw": 15401}  # their TLS ingresses
ALIASES = {"http": "http://orders/", "raw": "tcp://orders:7000"}
CALLS = [http("GET", "/items"), http("POST", "/orders"), TCP]


def manifests(image):
    container = {"name": "app", "image": image}
    mappings = [{"name": "http", "containerPort": 8080, "appProtocol": "http"}, {"name": "raw", "containerPort": 7000}]
    serves = {**container, "command": [*ASKER, "serve-plain"], "portMappings": mappings}
    offers = [
        {"portName": "http", "clientAliases": [{"port": 80, "dnsName": "orders"}]},
        {"portName": "raw", "clientAliases": [{"port": 7000, "dnsName": "orders"}]},
    ]
    yield {"kind": "Namespace", "name": "lab"}
    yield {"kind": "Namespace", "name": "corp.internal", "type": "DNS_PRIVATE"}
    records = {"dnsRecords": [{"type": "A", "ttl": 1}]}
    yield {"kind": "CloudMapService", "name": "corp.internal/orders", "dnsConfig": records}
    *definition, orders = service("orders", serves, 2, services=offers)
    yield from definition
    yield {**orders, "serviceRegistries": [{"registryArn": "corp.internal/orders"}]}
    for caller in ("web", "webs"):
        yield from service(caller, {**container, "command": ["sleep", "infinity"]}, 1)


def service(name, container, count, **connect):
    container = {**container, "stopTimeout": 2}
    yield {"kind": "TaskDefinition", "family": name, "memory": "256", "containerDefinitions": [container]}
    connect = {"enabled": True, "namespace": "lab", **connect}
    one = {"kind": "Service", "serviceName": name, "taskDefinition": name, "desiredCount": count}
    yield {**one, "serviceConnectConfiguration": connect}


@pytest.fixture(scope="module")
def mesh(engine, tmp_path_factory):
    program = Path(access_apps.__file__).read_text()
    image = engine.image("access-apps", f"FROM BASE\nCOPY app {APPS}\n", {"app": program})
    path = tmp_path_factory.mktemp("identity") / "mesh.yaml"
    path.write_text("\n---\n".join(map(json.dumps, manifests(image))))
    with Mesh(path, runtime="docker", environment={"DOCKER_HOST": engine.host}) as mesh:
        mesh.wait_steady(90)
        yield mesh


def say(mesh, mode):
    """Set the mode of TLS, and wait until it is in force."""
    mesh.apply(text=f"{{kind: Namespace, name: lab, tls: {mode}}}")
    speaks = set() if mode == "off" else set(PORTS)

    def in_force():
        states = [task.task.status.tls for task in mesh.tasks("orders")]
        return all((set(one.ready), set(one.alone), one.waits_for) == (speaks, speaks, "") for one in states)

    mesh.wait_until(in_force, PATIENCE, f"mode {mode}: {[str(t.task.status.tls) for t in mesh.tasks('orders')]}")
    mesh.wait_converged()


def handshakes(mesh):
    """Port -> TLS handshakes that its tasks' proxies have completed."""
    return {
        port: sum(stat(mesh, task, f"listener.0.0.0.0_{at}.ssl.handshake") for task in mesh.tasks("orders"))
        for port, at in PORTS.items()
    }


def stat(mesh, task, name):
    found = mesh.envoy(task_id(task), f"/stats?format=json&filter=^{name}$").json()["stats"]
    return sum(one["value"] for one in found if one.get("name"))


def made(mesh, caller, calls):
    return access_lab.made(mesh, caller, calls, ASKER)


# -- the wire ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow("two loads through two changes of the mode")
def test_no_call_fails_while_the_mode_becomes_strict_and_off_again(mesh):
    say(mesh, "off")
    for port in (80, 7000):
        mesh.publish("orders", port, timeout=PATIENCE)
    assert handshakes(mesh) == dict.fromkeys(PORTS, 0)
    with ExitStack() as stack:
        loads = {url: stack.enter_context(mesh.load(url, Plan(rps=30, late=60))) for url in ALIASES.values()}
        for mode in ("strict", "off"):
            carry(loads, 20)
            say(mesh, mode)
            carry(loads, 20)
            if mode == "strict":
                assert all(handshakes(mesh).values()), handshakes(mesh)
        reports = {url: load.stop() for url, load in loads.items()}
    assert {url: (one.failed, one.first_failure) for url, one in reports.items()} == dict.fromkeys(reports, (0, ""))


def carry(loads, requests):
    """Wait for so many more requests of each load."""
    for load in loads.values():
        load.wait_requests(requests)


# -- who may call whom ------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(mesh):
    """The mesh in strict mode; its policies and Externals go with the test."""
    say(mesh, "strict")
    yield mesh
    put(mesh)
    for obj in mesh.objects("External"):
        mesh.delete("External", obj.meta.name)
    mesh.wait_converged()


@pytest.mark.parametrize(
    ("policies", "verdicts"),
    [
        ([], {"web": ["taken"] * 3, "webs": ["taken"] * 3}),
        (
            [
                policy("http", "{from: [{service: web}], requests: [{method: GET, prefix: /items}]}", "http"),
                policy("raw", "{from: [{service: webs}]}", "raw"),
            ],
            {"web": ["taken", "refused", "refused"], "webs": ["refused", "refused", "taken"]},
        ),
    ],
    ids=["no policy", "policies"],
)
def test_a_policy_admits_whom_it_names_and_refuses_others(strict, policies, verdicts):
    put(strict, *policies)
    for caller, verdict in verdicts.items():
        assert made(strict, caller, CALLS) == meant(strict, caller, CALLS) == verdict


def key_of_the_machine(mesh):
    """The file with the key of this machine's programs, once it is there."""
    file = mesh.home.root / "hosts" / "lab.pem"
    mesh.wait_until(file.exists, PATIENCE, "the identity of this machine's programs")
    return file


def test_programs_of_the_machine_call_as_their_node_through_twins(strict):
    key_of_the_machine(strict)
    twin = strict.tasks("orders")[0].task.status.twin
    at = {one.container_port: one.port for one in twin.ports}
    assert at[7000] == 7000
    for policies, verdict in (
        ([], "taken"),
        ([policy("web", "{from: [{service: web}]}")], "refused"),
        ([policy("hosts", "{from: [{hosts: true}]}")], "taken"),
    ):
        put(strict, *policies)
        calls = [{"host": twin.ip, "port": at[8080], **call} for call in CALLS]
        assert access_apps.asked(calls) == [verdict] * 3, policies


# -- keys -------------------------------------------------------------------------------------------------------------

#: Prints which files that a container can read are an identity.json, or have a piece of a key, which come as JSON lines at stdin.
SEARCH = """
import json, os, sys

pieces = [one.encode() for one in json.load(sys.stdin)]
homes = sys.argv[1:]

def files():
    for folder, folders, names in os.walk("/"):
        if folder == "/":
            folders[:] = [one for one in folders if one not in ("proc", "sys", "dev")]
        yield from (os.path.join(folder, name) for name in names)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        yield from (f"/proc/{pid}/{name}" for name in ("cwd/identity.json", "environ"))
        yield from (f"/proc/{pid}/root{home}" for home in homes)

def shows(path):
    try:
        with open(path, "rb") as file:
            content = file.read(1 << 20)
    except OSError:
        return False
    return path.endswith("/identity.json") or any(piece in content for piece in pieces)

for name in ("identity.json", "decoy"):
    with open(f"/tmp/{name}", "wb") as file:
        file.write(pieces[0] if name == "decoy" else b"")
print(json.dumps(sorted(path for path in files() if os.path.isfile(path) and shows(path))))
"""


def test_a_container_finds_neither_its_own_task_s_key_nor_another_one_s_nor_the_machine_s(strict):
    """It searches as root for two files of its own besides, and finds those: the search works."""
    ids = [task_id(task) for name in ("web", "orders") for task in strict.tasks(name)]
    files = [strict.home.tasks / one / "identity.json" for one in ids]
    machines = key_of_the_machine(strict)
    pieces = [*map(piece_of, files), machines.read_text().partition("PRIVATE KEY-----\n")[2].splitlines()[1]]
    done = strict.execute(
        ids[0], "python3", "-c", SEARCH, *map(str, [*files, machines]), stdin=json.dumps(pieces).encode()
    )
    assert done.exit_code == 0, done.stderr.decode()
    assert json.loads(done.text) == ["/tmp/decoy", "/tmp/identity.json"]


def piece_of(file):
    """A line of the base64 of a task's key."""
    (secret,) = json.loads(file.read_text())["resources"]
    return secret["tls_certificate"]["private_key"]["inline_string"].splitlines()[1]


# -- outside ----------------------------------------------------------------------------------------------------------


def declare(mesh, host, ports, none):
    """Externals `api` (http) and `db` (tcp), each with an address of a port that serves and one of the port that refuses."""
    for name, alias, members in (("api", 80, "appProtocol: http, "), ("db", 7000, "")):
        addresses = [f"{host}:{ports[name]}", f"{host}:{none}"]
        mesh.apply(text=external(name, addresses, f"{members}aliases: [{{dnsName: {name}, port: {alias}}}]"))
    mesh.wait_converged()


@pytest.fixture(params=["network", "relay"])
def outside(strict, request):
    """How two Externals are reached, one of whose two addresses each refuses: at this machine's address in the engine's network,
    or at host.tsunagu.internal, to which the relay leads.
    """
    gateway = strict.tasks("web")[0].task.status.ip.rpartition(".")[0] + ".1"
    host, at = {"network": (gateway, "0.0.0.0"), "relay": (outside_lab.HOST, "127.0.0.1")}[request.param]
    with serving("http", host=at) as web, serving("220 ready", kind="banner", host=at) as db, refusing() as none:
        declare(strict, host, {"api": web, "db": db}, none)
        yield request.param


def test_calls_outside_are_answered_though_one_of_two_addresses_refuses(strict, outside):
    """But tcp connections through the relay: they were made before it knew, so that no proxy tries again (docs/traffic/outside.md)."""
    found = made(strict, "web", [{"host": "api", **http("GET", "/")}] * 30)
    assert found == ["taken"] * 30
    assert stat(strict, strict.task("web"), "cluster.svc/lab/api.upstream_rq_retry") > 0
    found = made(strict, "web", [{"host": "db", **TCP}] * 30)
    assert "taken" in found
    assert set(found) <= {"network": {"taken"}, "relay": {"taken", "refused"}}[outside], found
    assert stat(strict, strict.task("web"), "cluster.svc/lab/db.upstream_cx_connect_fail") > 0 or outside == "relay"


def test_tls_tells_a_proxy_of_the_address_that_refuses_at_this_machine(strict, tmp_path):
    """The handshake fails, which is a failure to connect, so another address is tried: without TLS such connections are closed."""
    authority = outside_lab.Authority(tmp_path)
    with serving("220 ready", kind="banner", certificate=authority.sign("db.example")) as db, refusing() as none:
        verified = f"tls: {{serverName: db.example, caCertificates: {json.dumps(authority.pem)}}}"
        addresses = [f"{outside_lab.HOST}:{port}" for port in (db, none)]
        strict.apply(text=external("db", addresses, f"{verified}, aliases: [{{dnsName: db, port: 7000}}]"))
        strict.wait_converged()
        assert made(strict, "web", [{"host": "db", **TCP}] * 30) == ["taken"] * 30
        assert stat(strict, strict.task("web"), "cluster.svc/lab/db.upstream_cx_connect_fail") > 0
