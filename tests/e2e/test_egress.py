"""What tasks of the linux runtime reach outside of the mesh, and what they see where they may not: the table of docs/egress.md, and its limits."""

import json
import os
import signal
import sys
import zipfile

import pytest

from tests.e2e.egress_lab import Lab, database, rows
from tests.e2e.next_agent import kill_node_agent
from tests.e2e.outside_lab import refusing
from tests.e2e.public_place import BANNER, ECHO, HTTP, public_place
from tests.e2e.shop import SHOP
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

PLACE = """
kind: CloudMapService
name: shop/legacy
---
kind: CloudMapInstance
name: shop/legacy/one
attributes: {{AWS_INSTANCE_IPV4: {ip}, AWS_INSTANCE_PORT: "{port}"}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    with public_place(folder) as found:
        yield found


@pytest.fixture(scope="module")
def lab(place):
    environment = {"TSUNAGU_RESOLV_CONF": str(place.resolv_conf)}
    with (
        database() as port,
        database("0.0.0.0") as own,
        refusing() as nobody,
        Mesh(SHOP, aws=True, environment=environment) as mesh,
    ):
        mesh.apply(text=PLACE.format(ip=place.other, port=BANNER))
        mesh.wait_steady()
        aws = int(mesh.aws()["endpoint_url"].rpartition(":")[2])
        ports = port, nobody, aws, own
        yield Lab(mesh, mesh.tasks("web")[0], sys.executable, place, ports)


def test_an_app_sees_what_the_page_says(lab):
    assert lab.seen() == rows("linux")


def test_what_leaves_the_mesh_is_in_the_metrics_and_in_top(lab):
    lab.counts_what_leaves("own-port")


def test_a_thousand_connections_at_once(lab):
    code = f"""
import socket
ones = [socket.create_connection(({lab.place.listed!r}, {ECHO}), 30) for _ in range(1000)]
for number, one in enumerate(ones):
    one.sendall(b"%04d" % number)
print(sum(one.recv(4, socket.MSG_WAITALL) == b"%04d" % number for number, one in enumerate(ones)))
"""
    assert lab.execute(code) == "1000"


def test_ends_are_passed_on_one_by_one_and_servers_may_speak_first(lab):
    code = f"""
import hashlib, socket, threading
one = socket.create_connection(({lab.place.listed!r}, {BANNER}), 30)
print(one.recv(99))
piece, times = bytes(range(256)) * 256, 160
def send():
    for _ in range(times):
        one.sendall(piece)
    one.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
digest = hashlib.sha256()
while more := one.recv(65536):
    digest.update(more)
print(digest.digest() == hashlib.sha256(piece * times).digest())
"""
    assert lab.execute(code) == "b'220 ready\\r\\n'\nTrue"


def test_pip_installs_from_an_index_outside(lab, place):
    folder = place.resolv_conf.parent / "simple" / "wares"
    folder.mkdir(parents=True)
    wheel = folder / "wares-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("wares.py", "PRICE = 7\n")
        file.writestr("wares-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: wares\nVersion: 1.0\n")
        file.writestr("wares-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("wares-1.0.dist-info/RECORD", "")
    code = f"""
import subprocess, sys, tempfile
with tempfile.TemporaryDirectory() as to:
    index = "http://pypi.listed.example:{HTTP}/simple"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-cache-dir", "--disable-pip-version-check", "--target", to]
    subprocess.run([*install, "--index-url", index, "--trusted-host", "pypi.listed.example", "wares"], check=True)
    sys.path.insert(0, to)
    import wares
    print(wares.PRICE)
"""
    assert lab.execute(code) == "7"


HOLDER = """
import os, socket, sys, time
host, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
one = socket.create_connection((host, port), 10)
open(folder + "/open", "w").close()
deadline = time.monotonic() + 120
while not os.path.exists(folder + "/go") and time.monotonic() < deadline:
    time.sleep(0.05)
one.settimeout(60)
try:
    one.sendall(b"alive")
    said = one.recv(99).decode() or "ended"
except OSError:
    said = "ended"
with open(folder + "/said.new", "w") as file:
    file.write(said)
os.rename(folder + "/said.new", folder + "/said")
"""
#: Leaves the holder behind in the task: what a command is goes with the node agent that carries its output.
BEGIN = """
import subprocess, sys
nothing = subprocess.DEVNULL
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing)
"""


def relay(mesh):
    return json.loads((mesh.home.root / "outside.json").read_text())["pid"]


def kill_relay(mesh):
    before = relay(mesh)
    os.kill(before, signal.SIGKILL)
    mesh.wait_until(lambda: relay(mesh) != before, 60, "another relay")


@pytest.mark.parametrize(("kill", "outcome"), [(kill_node_agent, "alive"), (kill_relay, "ended")])
def test_connections_outlive_the_node_agent_and_the_relay_comes_back(lab, tmp_path, kill, outcome):
    lab.execute(BEGIN, HOLDER, lab.place.listed, str(ECHO), str(tmp_path))
    lab.mesh.wait_until((tmp_path / "open").exists, 60, "an open connection")
    kill(lab.mesh)
    (tmp_path / "go").touch()
    lab.mesh.wait_until((tmp_path / "said").exists, 60, "what became of the connection")
    assert (tmp_path / "said").read_text() == outcome
    assert lab.calls({"it": ("tcp", lab.place.listed, ECHO)}) == {"it": "answered"}
    assert lab.calls({"it": ("tcp", "orders", 80)}) == {"it": "answered"}


def test_a_change_leaves_open_connections_as_they_are(lab, tmp_path):
    lab.execute(BEGIN, HOLDER, lab.place.listed, str(ECHO), str(tmp_path))
    lab.mesh.wait_until((tmp_path / "open").exists, 60, "an open connection")
    lab.egress("deny")
    assert lab.calls({"new": ("tcp", lab.place.listed, ECHO)}) == {"new": "refused"}
    (tmp_path / "go").touch()
    lab.mesh.wait_until((tmp_path / "said").exists, 60, "what became of the connection")
    lab.egress("allow")
    assert (tmp_path / "said").read_text() == "alive"
