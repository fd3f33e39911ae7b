"""Programs of this machine, through twins and `tsunagu connect`, where a namespace speaks TLS: they call as their node.

The twin of a service of http, gRPC and tcp, in one mesh: as the mode of TLS changes, what policies say of it, after a kill of the
node agent, through a rotation of the authority; and where its key is not. In containers: `test_docker_identity.py`.
"""

import json
import stat
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from tests.e2e import access_apps
from tests.e2e.access_lab import APPS, PATIENCE, TCP, grpc, http, policy, put
from tests.e2e.next_agent import kill_node_agent, node_of
from tests.e2e.why_lab import why
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

CALLS = [http("GET", "/items"), grpc("/a.B/C"), TCP]
PORTS = {"http", "rpc", "raw"}
MANIFESTS = f"""
{{kind: Namespace, name: lab, tls: permissive}}
---
{{kind: Namespace, name: corp.internal, type: DNS_PRIVATE}}
---
{{kind: CloudMapService, name: corp.internal/orders, dnsConfig: {{dnsRecords: [{{type: A, ttl: 1}}]}}}}
---
{{kind: Image, pattern: lab/server, command: [{sys.executable}, {APPS}, serve]}}
---
kind: TaskDefinition
family: orders
networkMode: awsvpc
containerDefinitions:
- name: app
  image: lab/server
  portMappings:
  - {{name: http, containerPort: 8080, appProtocol: http}}
  - {{name: rpc, containerPort: 9000, appProtocol: grpc}}
  - {{name: raw, containerPort: 7000}}
---
kind: Service
serviceName: orders
taskDefinition: orders
desiredCount: 1
serviceRegistries: [{{registryArn: corp.internal/orders}}]
serviceConnectConfiguration:
  enabled: true
  namespace: lab
  services:
  - {{portName: http, clientAliases: [{{port: 80, dnsName: orders}}]}}
  - {{portName: rpc, clientAliases: [{{port: 9000, dnsName: orders}}]}}
  - {{portName: raw, clientAliases: [{{port: 7000, dnsName: orders}}]}}
"""
OTHERS = policy("others", "{from: [{service: web}]}")
HOSTS = policy("hosts", "{from: [{hosts: true}]}")
EVERYBODY = policy("everybody", "{from: [{everybody: true}]}")


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=MANIFESTS)
        mesh.wait_steady(120)
        in_force(mesh, ready=PORTS, alone=set())
        identity_of(mesh)
        yield mesh


@pytest.fixture(autouse=True)
def afterwards(mesh):
    yield
    put(mesh)


def say(mesh, mode):
    """Set the mode of TLS, and wait until it is in force."""
    mesh.apply(text=f"{{kind: Namespace, name: lab, tls: {mode}}}")
    in_force(mesh, ready=set() if mode == "off" else PORTS, alone=PORTS if mode == "strict" else set())


def in_force(mesh, ready, alone):
    def is_so():
        tls = mesh.task("orders").task.status.tls
        return (set(tls.ready), set(tls.alone), tls.waits_for) == (ready, alone, "")

    mesh.wait_until(is_so, PATIENCE, f"TLS at {ready or 'no port'}, alone at {alone or 'no port'}")
    mesh.wait_converged()


def identity_of(mesh):
    """The certificate with which this machine calls into the namespace, once there is one."""
    found = {}

    def has_one():
        found.update({one.namespace: one.identity for one in node_of(mesh).node.identities})
        return "lab" in found and found["lab"].id

    mesh.wait_until(has_one, PATIENCE, "an identity of the machine")
    return found["lab"]


def through_twin(mesh, calls=CALLS):
    """What becomes of calls that this process makes through the twin."""
    twin = mesh.task("orders").task.status.twin
    assert {one.container_port for one in twin.ports if one.port == one.container_port} == {8080, 9000, 7000}
    return access_apps.asked([{"host": twin.ip, "port": 8080, **call} for call in calls])


@contextmanager
def connected(mesh):
    """What asks as a program that `tsunagu connect` runs."""
    words = ["connect", "--home", str(mesh.home.root), "lab", "--", sys.executable, str(APPS), "answer"]
    command = [sys.executable, "-m", "tsunagu.cli", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:

        def ask(calls=CALLS):
            program.stdin.write(json.dumps([{"host": "orders", **call} for call in calls]) + "\n")
            program.stdin.flush()
            return json.loads(program.stdout.readline())

        yield ask
        program.stdin.close()
        assert program.wait(60) == 0


@contextmanager
def always_taken(mesh):
    """Call through the twin again and again, over new connections, for as long as the block lasts; no call may fail."""
    enough, seen = threading.Event(), Counter()

    def go_on():
        while not enough.is_set():
            seen.update(through_twin(mesh))

    caller = threading.Thread(target=go_on)
    caller.start()
    try:
        mesh.wait_until(lambda: seen.total() >= 3 * len(CALLS), PATIENCE, "the first calls")
        yield
        so_many = seen.total()
        mesh.wait_until(lambda: seen.total() >= so_many + 3 * len(CALLS), PATIENCE, "the last calls")
    finally:
        enough.set()
        caller.join()
    assert set(seen) == {"taken"}, seen


def test_1_in_permissive_mode_a_twin_is_judged_as_its_machine(mesh):
    assert identity_of(mesh).id == f"spiffe://tsunagu.local/ns/lab/host/{node_of(mesh).meta.name}"
    for policies, verdict in (([OTHERS], "refused"), ([HOSTS], "taken")):
        put(mesh, *policies)
        assert through_twin(mesh) == [verdict] * 3, policies


def test_2_no_call_through_a_twin_fails_whatever_the_mode_becomes(mesh):
    with always_taken(mesh):
        for mode in ("strict", "off", "permissive", "strict"):
            say(mesh, mode)


def test_3_twins_and_connected_programs_are_taken_where_a_policy_admits_hosts(mesh):
    with connected(mesh) as program:
        for policies, verdict in (([], "taken"), ([OTHERS], "refused"), ([HOSTS], "taken"), ([EVERYBODY], "taken")):
            put(mesh, *policies)
            assert through_twin(mesh) == [verdict] * 3, policies
            assert program() == [verdict] * 3, policies
        put(mesh, OTHERS)
        (task,) = [one for one in mesh.tasks() if one.task.spec.host]
        assert task.task.status.identity.id == identity_of(mesh).id
        asked = why(mesh, task_id(task), "http://orders/items")
        assert (asked.kind, "add to its allow: {from: [{hosts: true}]" in asked.sentence) == ("access-refused", True), (
            asked
        )
        shown = {row["task"] or row["node"]: row["id"] for row in tsunagu(mesh, "identity", "-o", "json")}
    assert shown[task.meta.name] == shown[node_of(mesh).meta.name] == identity_of(mesh).id


def tsunagu(mesh, *words):
    command = [sys.executable, "-m", "tsunagu.cli", *words, "--home", str(mesh.home.root)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def test_4_the_key_is_in_one_file_of_its_owner_s_and_nowhere_else(mesh):
    file = mesh.home.root / "hosts" / "lab.pem"
    assert (stat.S_IMODE(file.parent.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o600)
    key, (leaf,) = load_pem_private_key(file.read_bytes(), None), load_pem_x509_certificates(file.read_bytes())
    assert leaf.public_key() == key.public_key()
    assert f"{leaf.serial_number:x}" == identity_of(mesh).serial

    private = file.read_text().partition("-----BEGIN PRIVATE KEY-----\n")[2]
    secret = private.splitlines()[1].encode()  # the first line of every P-256 key begins alike
    texts = {str(path): path.read_bytes() for path in mesh.home.root.rglob("*") if path.is_file() and path != file}
    assert any(name.endswith("registry.db") for name in texts)
    texts["registry"] = b"".join(one.SerializeToString() for one in mesh.objects())
    texts["timeline"] = b"".join(event.SerializeToString() for event in mesh.timeline())
    texts["dump"] = mesh.envoy(task_id(mesh.task("orders")), "/config_dump").body
    assert [name for name, text in texts.items() if secret in text] == []

    read = mesh.execute(task_id(mesh.task("orders")), sys.executable, "-c", f"open({str(file)!r}).read()")
    assert read.exit_code == 1, "an app has read it"


def test_5_the_next_node_agent_s_twins_call_with_the_same_certificate(mesh):
    before = identity_of(mesh)
    kill_node_agent(mesh)
    in_force(mesh, ready=PORTS, alone=PORTS)
    mesh.wait_until(lambda: identity_of(mesh) == before, PATIENCE, "the same certificate")
    put(mesh, HOSTS)
    mesh.wait_until(lambda: through_twin(mesh) == ["taken"] * 3, PATIENCE, "the twin")


def test_6_no_call_through_a_twin_fails_while_the_authority_is_replaced(mesh):
    old = identity_of(mesh)

    def ask(obj):
        obj.trust_bundle.rotations_wanted += 1

    def is_over():
        bundle = mesh.get("TrustBundle", "default").trust_bundle
        return bundle.phase == "STEADY" and bundle.signs != old.issuer

    put(mesh, HOSTS)
    with always_taken(mesh):
        mesh.apis.update("TrustBundle", "default", ask)
        mesh.wait_until(is_over, PATIENCE, "the end of the rotation")
    (left,) = mesh.get("TrustBundle", "default").trust_bundle.authorities
    assert identity_of(mesh).issuer == left.fingerprint
    assert identity_of(mesh).serial != old.serial


def test_7_with_the_last_twin_of_a_namespace_its_key_goes(mesh):
    mesh.delete("Service", "default/orders")
    folder = mesh.home.root / "hosts"
    mesh.wait_until(lambda: not list(folder.iterdir()), PATIENCE, "the end of its files")
    mesh.wait_until(lambda: not node_of(mesh).node.identities, PATIENCE, "the end of its identity")
