"""What an app of a task sees when it calls outside, in the words of docs/egress.md."""

import asyncio
import json
import re
import socket
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.commands import tsunagu
from tests.e2e.public_place import BANNER, ECHO
from tsunagu.client.connection import channel
from tsunagu.kit.http_server import Request
from tsunagu.metrics.process import Exporter
from tsunagu.model.ids import task_id

#: What an app sees where it may call, and where it may not.
TOLD, BARRED = {"told", "answered"}, {"not told", "refused", "reset", "closed", "no route"}
PAGE = Path(__file__).parents[2] / "docs" / "egress.md"

#: Run in a task with JSON of calls: {row: [kind, host, port]}; prints JSON {row: what it saw}.
CALLS = r"""
import json, socket, sys

def silent(host, port):
    return tcp(host, port, b"")

def tcp(host, port, said=b"GET / HTTP/1.0\r\n\r\n"):
    try:
        one = socket.create_connection((host, port), 10)
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "reset"
    except socket.gaierror:
        return "not told"
    except OSError as error:
        return "no route" if error.errno in (99, 101) else f"{error!r}"
    with one:
        try:
            one.sendall(said)
            return "answered" if one.recv(5) else "closed"
        except (ConnectionResetError, BrokenPipeError):
            return "reset"
        except OSError as error:
            return f"{error!r}"

def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        try:
            one.connect((host, port))
            one.send(b"hello")
            return "answered" if one.recv(5) == b"hello" else "odd"
        except (ConnectionRefusedError, PermissionError):
            return "refused"
        except OSError as error:
            return f"{error!r}"

def name(host, port):
    try:
        return "told" if socket.gethostbyname(host) else "odd"
    except socket.gaierror:
        return "not told"

print(json.dumps({row: globals()[kind](host, port) for row, (kind, host, port) in json.loads(sys.argv[1]).items()}))
"""


def rows(runtime):
    """The table: call -> what the app sees in that runtime."""
    found = re.findall(r"^\| `([^`]+)` \| ([a-z ]+) \| ([a-z ]+) \|$", PAGE.read_text(), re.MULTILINE)
    return {row: {"linux": linux, "docker": docker}[runtime] for row, linux, docker in found}


@contextmanager
def database(host="127.0.0.1"):
    """A server at an address of this machine, of this process; yields its port."""
    with socket.create_server((host, 0)) as server:
        threading.Thread(target=_answer, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _answer(server):
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            client.sendall(client.recv(5) or b"-")


def own_address():
    """An address of this machine that is none of its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


async def _rendered(home):
    async with channel(home.api_socket) as opened:
        return await Exporter(opened).handle(Request("GET", "/metrics", ()))


def scraped(mesh, task):
    """What Prometheus is told of a task: (name, reason of a refusal) -> the sum of its series."""
    answer = asyncio.run(_rendered(mesh.home))
    assert answer.status == 200, answer
    found = Counter()
    for family in text_string_to_metric_families(answer.body.decode()):
        for one in family.samples:
            if one.labels.get("task") == task:
                found[one.name, one.labels.get("reason")] += one.value
    return found


class Lab:
    """`called`: policy -> row of the table -> (kind, host, port)."""

    def __init__(self, mesh, task, python, place, ports):
        self.mesh = mesh
        self.task = task
        self.python = python
        self.place = place
        db, nobody, aws, own = ports
        host = "host.tsunagu.internal"
        self.called = {
            "allow": {
                "a public address": ("tcp", place.listed, ECHO),
                "a name that is listed": ("name", "www.listed.example", 0),
                "this machine's database": ("tcp", host, db),
                "a port of this machine where nobody listens": ("tcp", host, nobody),
                "an address of this machine": ("tcp", own_address(), own),
                "the AWS endpoint": ("tcp", host, aws),
                "a virtual address that nobody has": ("silent", "127.255.254.253", 80),
                "UDP": ("udp", place.listed, ECHO),
                "IPv6": ("tcp", "2001:db8::1", 80),
            },
            "deny": {
                "a public address, denied": ("tcp", place.listed, ECHO),
                "a name, denied": ("name", "www.listed.example", 0),
                "this machine's database, denied": ("tcp", "169.254.88.1", db),
                "a registered place, denied": ("tcp", place.other, BANNER),
                "UDP, denied": ("udp", place.listed, ECHO),
            },
            "['*.listed.example']": {
                "an address of a name that is listed": ("tcp", "www.listed.example", ECHO),
                "an address of no name that is listed": ("tcp", place.other, ECHO),
                "a name that is not listed": ("name", "www.other.example", 0),
            },
        }

    def execute(self, code, *arguments):
        done = self.mesh.execute(task_id(self.task), self.python, "-c", code, *arguments, timeout=120)
        assert done.exit_code == 0, done.stderr.decode()
        return done.text

    def calls(self, calls):
        """What the app sees of these calls."""
        return json.loads(self.execute(CALLS, json.dumps(calls)))

    def egress(self, egress, namespace="shop"):
        """Has the Namespace say this, and waits until it holds: for names, which are the name server's, and for connections, which
        are the kernel's and the relay's.
        """
        self.mesh.apply(text=f"kind: Namespace\nname: {namespace}\negress: {egress}\n")
        listed, other = (("name", f"www.{name}.example", 0) for name in ("listed", "other"))
        probes = {
            "allow": [(other, TOLD), (self.called["allow"]["this machine's database"], TOLD)],
            "deny": [(call, BARRED) for row, call in self.called["deny"].items() if "registered" not in row],
        }.get(egress, [(listed, TOLD), (other, BARRED), (("tcp", "www.listed.example", ECHO), TOLD)])

        def holds():
            seen = self.calls({str(number): call for number, (call, _) in enumerate(probes)})
            return all(seen[str(number)] in wanted for number, (_, wanted) in enumerate(probes))

        self.mesh.wait_until(holds, 60, f"egress is {egress}")

    def left(self):
        """What samples say that has left the mesh from the task: connections, and how many were refused by reason."""
        windows = self.mesh.apis.windows(by_task=True)
        flows = [
            one.flow for one in windows if one.flow.direction == "outside" and one.source.task == self.task.meta.name
        ]
        return (flows[0].connections, dict(flows[0].refused)) if flows else (0, {})

    def counts_what_leaves(self, refused):
        """Asserts that `top` and /metrics tell of calls that are answered, and of those that are refused for the reason `refused`."""
        calls = {"db": self.called["allow"]["this machine's database"], "aws": self.called["allow"]["the AWS endpoint"]}
        connections, before = self.left()
        for _ in range(3):
            self.calls(calls)
        wanted = connections + 3, before.get(refused, 0) + 3

        def told():
            connections, reasons = self.left()
            return connections >= wanted[0] and reasons.get(refused, 0) >= wanted[1]

        self.mesh.wait_until(told, 60, f"{wanted} connections made and refused in the samples")
        [row] = [line for line in tsunagu(self.mesh, "top", "--over", "10m").splitlines() if f"{refused} " in line]
        assert row.split()[0] == "web"
        assert "leaves the mesh" in tsunagu(self.mesh, "metrics", "web", "--since", "10m", "--step", "10m")
        series = scraped(self.mesh, task_id(self.task))
        assert series["tsunagu_outside_connections_total", None] >= wanted[0]
        assert series["tsunagu_outside_refused_total", refused] >= wanted[1]
        assert series["tsunagu_outside_bytes_total", None] > 0

    def seen(self):
        """Row -> what the app sees, of all rows."""
        found = {}
        for egress, calls in self.called.items():
            self.egress(egress)
            found |= self.calls(calls)
        self.egress("allow")
        return found
