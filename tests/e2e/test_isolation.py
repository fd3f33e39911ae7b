"""What an app can reach: each row of the table in docs/isolation.md is attempted from inside a task, and has to be as it says."""

import json
import os
import re
import socket
import sys
from pathlib import Path

import pytest

from tests.e2e.shop import SHOP
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

PAGE = Path(__file__).parents[2] / "docs" / "isolation.md"
VAULT = f"""
kind: Namespace
name: bank
tls: permissive
---
kind: TaskDefinition
family: vault
networkMode: awsvpc
containerDefinitions:
- name: app
  image: vault
  command: ["{sys.executable}", "-m", "http.server", "8080"]
  portMappings: [{{name: http, containerPort: 8080, appProtocol: http}}]
---
kind: Service
serviceName: vault
taskDefinition: vault
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: bank
  services: [{{portName: http, clientAliases: [{{port: 80, dnsName: vault}}]}}]
"""

# Each attempt is an expression that raises OSError or is false when nothing is reached. `at` has what the test knows.
ATTEMPTS = {
    "xds socket": "unix(at['home'] + at['xds'])",
    "own gRPC bootstrap": "open(os.environ['GRPC_XDS_BOOTSTRAP']).read()",
    "own metadata": "b'404 Not Found' in http('169.254.170.2', 80)",
    "another task's metadata": "tcp(at['address'], 15002)",
    "api socket": "unix(at['home'] + '/api.sock')",
    "node socket": "unix(at['home'] + '/node.sock')",
    "key": "open(at['home'] + '/key', 'rb').read()",
    "registry": "open(at['home'] + '/registry.db', 'rb').read()",
    "the relay": "unix(at['home'] + '/outside.sock', socket.SOCK_SEQPACKET)",
    "own init": "unix(at['own'] + '/init.sock', socket.SOCK_SEQPACKET)",
    "own Envoy's admin": "unix(at['own'] + '/admin.sock')",
    "own Envoy's bootstrap": "open(at['own'] + '/envoy.json').read()",
    "own Envoy's key": "open(at['own'] + '/identity.json').read()",
    "another task's key": "open(at['other'] + '/identity.json').read()",
    "the certificate authority's keys": "os.listdir(at['home'] + '/ca')",
    "another task's files": "os.listdir(at['other'])",
    "take the cover away": "uncovered(at['home'])",
    "another task's processes": "at['other'].rpartition('/')[2] in others() or len(pids()) > 20",
    "own Envoy's process": "os.kill(envoy(), 0) is None",
    "own Envoy's memory": "os.listdir(f'/proc/{envoy()}/root') or open(f'/proc/{envoy()}/mem', 'rb')",
    "own network": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "a name of its namespace": "tcp('orders', 80)",
    "another task's address": "tcp(at['address'], 80)",
    "another namespace by name": "tcp('vault', 80)",
    "another namespace by address": "b'200' in http(at['vault'], 8080)",
    "this machine's ports": "reaches(*((host, at['port']) for host in ('127.0.0.1', at['gateway'], '169.254.88.1')))",
    "the AWS endpoint": "reaches(*((host, at['aws']) for host in ('127.0.0.1', at['gateway'], '169.254.88.1')))",
    "the AWS endpoint's keys": "open(at['home'] + '/aws-keys.json').read()",
    "what stands for hooks": "open(at['home'] + '/hooks.json', 'r+').write('{}')",
    "this machine's abstract sockets": "unix('\\0' + at['abstract'])",
    "the internet": "tcp('1.1.1.1', 80)",
    "files of whoever started the mesh": "open(at['mine'], 'r+').write('changed')",
    "sockets of whoever started the mesh": "unix(at['agent'])",
    "files of other users": "open(at['theirs']).read()",
}
TOOLS = """
import ctypes, json, os, socket, sys
at = json.loads(sys.argv[1])

def unix(path, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.connect(path)
    return True

def tcp(host, port):
    socket.create_connection((host, port), at["patience"]).close()
    return True

def reaches(*places):
    return any(answers(*place) for place in places)

def answers(host, port):
    try:
        with socket.create_connection((host, port), at["patience"]) as one:
            one.settimeout(at["silence"])
            return one.recv(1) != b""
    except TimeoutError:  # it stays open: who listens there says nothing first
        return "one" in locals()
    except OSError:
        return False

def http(host, port):
    with socket.create_connection((host, port), at["patience"]) as one:
        one.sendall(b"GET / HTTP/1.1\\r\\nhost: vault\\r\\nconnection: close\\r\\n\\r\\n")
        return one.recv(99)

def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]

def command(pid):
    return open(f"/proc/{pid}/cmdline").read()

def others():
    return " ".join(command(pid) for pid in pids() if pid != os.getpid())

def envoy():
    return next(pid for pid in pids() if "envoy" in command(pid).split("\\0")[0])

def uncovered(home):
    libc = ctypes.CDLL(None)
    libc.umount2(home.encode(), 2)
    libc.unshare(0x10000000 | 0x20000)
    libc.umount2(home.encode(), 2)
    return os.path.exists(home + "/key")

try:
    print("yes" if {attempt} else "no")
except (OSError, StopIteration):
    print("no")
"""


def rows(runtime="linux"):
    """The table: attempt -> whether it is reached in that runtime."""
    lines = re.findall(r"^\| `(.+?)` \| (yes|no) \| (yes|no) \|", PAGE.read_text(), re.MULTILINE)
    found = {name: {"linux": linux, "docker": docker}[runtime] for name, linux, docker in lines}
    assert len(lines) == len(found)
    return found


def seconds(reached):
    """How long an attempt is waited for. A busy machine may be late: with an answer that there is to be ("yes"), or with the end of a
    connection that is not to last.
    """
    return {"patience": 20, "silence": 0.5} if reached == "yes" else {"patience": 2, "silence": 20}


def test_each_row_of_the_page_is_attempted_and_each_attempt_is_on_the_page():
    assert sorted(rows()) == sorted(ATTEMPTS)


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """What there is on this machine beside a mesh: ports, sockets and files."""
    folder = Path(tmp_path_factory.mktemp("m", numbered=True))
    mine, theirs = folder / "mine", folder / "theirs"
    for path in (mine, theirs):
        path.write_text("secret")
        path.chmod(0o600)
    abstract = f"tsunagu-test-{folder.name}-{id(folder)}"
    with (
        socket.create_server(("0.0.0.0", 0)) as port,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as nameless,
    ):
        named.bind(str(folder / "agent.sock"))
        nameless.bind("\0" + abstract)
        named.listen()
        nameless.listen()
        yield {
            "mine": str(mine),
            "theirs": str(theirs),
            "agent": str(folder / "agent.sock"),
            "abstract": abstract,
            "port": port.getsockname()[1],
        }


@pytest.fixture(scope="module")
def inside(surroundings):
    """Makes an attempt in a task of `web`; returns what it prints."""
    with Mesh(SHOP, aws=True) as mesh:
        mesh.apply(text=VAULT)
        mesh.wait_steady()
        (mesh.home.root / "hooks.json").write_text("{}")
        (web,), orders, (vault,) = mesh.tasks("web"), mesh.tasks("orders"), mesh.tasks("vault")
        at = {
            **surroundings,
            "home": str(mesh.home.root),
            "own": str(mesh.home.tasks / task_id(web)),
            "other": str(mesh.home.tasks / task_id(orders[0])),
            "address": orders[0].task.status.ip,
            "vault": vault.task.status.ip,
            "gateway": "10.88.0.1",
            "aws": int(mesh.aws()["endpoint_url"].rpartition(":")[2]),
            "xds": "/xds.sock",
        }
        assert (mesh.home.tasks / task_id(web) / "init.sock").exists()

        def attempt(name):
            script = TOOLS.replace("{attempt}", ATTEMPTS[name])
            known = json.dumps({**at, **seconds(rows()[name])})
            done = mesh.execute(task_id(web), sys.executable, "-c", script, known, timeout=90)
            assert done.exit_code == 0, done.stderr.decode()
            return done.text

        yield attempt


@pytest.mark.parametrize("name", sorted(ATTEMPTS))
def test_an_app_reaches_what_the_page_says(inside, surroundings, name):
    if name == "files of other users":
        try:
            os.chown(surroundings["theirs"], 12345, 12345)
        except PermissionError:
            pytest.skip("only root can make a file of another user's")
    if name == "the internet" and not machine_reaches("1.1.1.1", 80):
        pytest.skip("this machine does not reach it either")
    assert inside(name) == rows()[name]


def machine_reaches(host, port):
    try:
        socket.create_connection((host, port), 2).close()
    except OSError:
        return False
    return True
