"""What containers reach outside of the mesh, and what they see where they may not: the docker column of the table of docs/egress.md."""

from pathlib import Path

import pytest

from tests.e2e.egress_lab import Lab, database, rows
from tests.e2e.next_agent import kill_node_agent
from tests.e2e.outside_lab import refusing
from tests.e2e.public_place import BANNER, ECHO, public_place
from tests.e2e.test_docker_isolation import service
from tests.e2e.test_egress import PLACE, kill_relay
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

#: What the engine decides, which need not forward anything (the tests' own does not, where the machine does not).
ENGINE_S = frozenset({"a public address", "UDP"})


@pytest.fixture(scope="module")
def lab(engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("egress")
    manifest = folder / "mesh.yaml"
    manifest.write_text("\n---\n".join(service("web", "shop", engine.base)))
    with (
        public_place(folder) as place,
        database() as port,
        database("0.0.0.0") as own,
        refusing() as nobody,
        Mesh(
            manifest,
            runtime="docker",
            aws=True,
            environment={"DOCKER_HOST": engine.host, "TSUNAGU_RESOLV_CONF": str(place.resolv_conf)},
        ) as mesh,
    ):
        mesh.apply(text=PLACE.format(ip="127.0.0.1", port=port))
        mesh.wait_steady(90)
        aws = int(mesh.aws()["endpoint_url"].rpartition(":")[2])
        lab = Lab(mesh, mesh.tasks("web")[0], "python3", place, (port, nobody, aws, own))
        denied = lab.called["deny"]
        # The engine need not lead anywhere, so the registered place is at this machine; and what is denied is another port of it.
        denied["a registered place, denied"] = ("tcp", "169.254.88.1", port)
        denied["this machine's database, denied"] = ("tcp", "169.254.88.1", own)
        gateway = mesh.tasks("web")[0].task.status.ip.rpartition(".")[0] + ".1"
        lab.called["allow"]["an address of this machine"] = ("tcp", gateway, own)
        yield lab


def forwards():
    return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"


def test_a_container_sees_what_the_page_says(lab):
    seen, said = lab.seen(), rows("docker")
    left_out = frozenset() if forwards() else ENGINE_S
    assert {row: seen[row] for row in seen if row not in left_out} == {
        row: said[row] for row in seen if row not in left_out
    }
    assert seen.keys() == said.keys()


def test_what_leaves_the_mesh_is_in_the_metrics_and_in_top(lab):
    lab.counts_what_leaves("own-port")


def test_after_a_restart_of_the_node_agent_and_of_the_relay_it_is_as_it_was(lab):
    lab.egress("['*.listed.example']")
    calls = {
        "listed": ("tcp", "www.listed.example", ECHO),
        "other": ("tcp", lab.place.other, BANNER),
    }
    for end in (kill_node_agent, kill_relay):
        end(lab.mesh)
        lab.mesh.wait_until(lambda: lab.calls(calls) == {"listed": "answered", "other": "reset"}, 60, "as it was")
    lab.egress("allow")
