"""examples/05-routes: what each route and policy does to callers, and the same from App Mesh's files.

`test_docs_commands` runs the commands of its README.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tsunagu.appmesh.convert import convert
from tsunagu.appmesh.manifest import manifest
from tsunagu.client.manifest_files import read_texts
from tsunagu.testing import Mesh
from tsunagu.testing.call import Call, direct

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

EXAMPLE = Path(__file__).parents[2] / "examples" / "05-routes"


@pytest.fixture(scope="module")
def colors():
    with Mesh(EXAMPLE / "mesh.yaml", EXAMPLE / "image.yaml") as mesh:
        mesh.wait_steady()
        yield mesh, mesh.publish("color:80")


def call(mesh, address, path="/", **headers):
    return mesh.call(f"http://{address}{path}", headers=headers)


def bodies(mesh, address, count, path="/", **headers):
    return Counter(call(mesh, address, path, **headers).body.decode().strip() for _ in range(count))


def at_once(address, count, path):
    """Statuses of that many calls which all begin at the same moment."""
    host, _, port = address.rpartition(":")
    together = Barrier(count, timeout=60)

    def one(_):
        together.wait()
        return direct(Call(f"http://{address}{path}"), (host, int(port))).status

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(one, range(count)))


def applied(mesh, name):
    mesh.apply(text=(EXAMPLE / "routes" / name).read_text())
    mesh.wait_converged()


def test_everything_goes_to_blue_without_a_route(colors):
    assert set(bodies(*colors, 20)) == {"blue"}


def test_a_tenth_goes_to_green_and_who_asks_gets_it(colors):
    mesh, address = colors
    applied(mesh, "1-weights.yaml")
    applied(mesh, "2-header.yaml")
    found = bodies(mesh, address, 300)
    assert 8 <= found["green"] <= 60, found  # 30, within four sigma
    assert bodies(mesh, address, 20, **{"x-beta": "yes"}) == {"green": 20}


def test_what_is_flaky_is_tried_again_where_a_route_says_so(colors):
    mesh, address = colors
    assert {call(mesh, address, "/flaky").status for _ in range(8)} == {200, 500}
    applied(mesh, "3-retries.yaml")
    assert {call(mesh, address, "/flaky").status for _ in range(20)} == {200}


def test_the_circuit_breaker_refuses_what_is_too_much(colors):
    mesh, address = colors
    applied(mesh, "4-circuit-breaker.yaml")
    found = at_once(address, 12, "/slow")
    assert found[200] >= 2
    assert found[503] >= 1
    mesh.delete("TrafficPolicy", "colors/blue")
    mesh.wait_converged()
    assert at_once(address, 12, "/slow") == {200: 12}


def test_a_fault_is_the_proxys_own(colors):
    mesh, address = colors
    applied(mesh, "5-fault.yaml")
    answer = call(mesh, address, **{"x-trouble": "please"})
    assert (answer.status, answer.body) == (418, b"fault filter abort")
    assert call(mesh, address).status == 200


def test_the_shadow_gets_a_copy_of_each_request(colors):
    mesh, address = colors
    applied(mesh, "6-mirror.yaml")
    before = int(call(mesh, address, "/seen").body)
    bodies(mesh, address, 30)
    mesh.wait_until(lambda: int(call(mesh, address, "/seen").body) == before + 30, 60, "the copies to arrive")


def test_the_same_from_app_meshs_files_and_with_tls(tmp_path):
    """The page's commands run them as they are; here their listeners take TLS alone."""
    plain = '"portMapping": {"port": 8000, "protocol": "http"}'
    secured = plain + ', "tls": {"mode": "STRICT", "certificate": {"acm": {"certificateArn": "arn:aws:acm:x"}}}'
    files = {
        name: text.replace(plain, secured) if Path(name).name.startswith("node-") else text
        for name, text in read_texts(EXAMPLE / "appmesh").items()
    }
    found = convert(files)
    assert (found.errors, found.refused) == ((), ())
    assert found.documents[0].document["tls"] == "strict"
    (tmp_path / "converted.yaml").write_text(manifest(found.documents))
    with Mesh(EXAMPLE / "image.yaml", tmp_path / "converted.yaml") as mesh:
        mesh.wait_steady()
        address = mesh.publish("color:80")
        assert set(bodies(mesh, address, 200)) == {"blue", "green"}
        assert bodies(mesh, address, 10, **{"x-beta": "yes"}) == {"green": 10}
        assert {call(mesh, address, "/flaky").status for _ in range(20)} == {200}
        assert all(task.task.status.tls.alone for task in mesh.tasks("blue") + mesh.tasks("green"))
