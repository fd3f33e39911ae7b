"""What `tsunagu why` and `tsunagu access` say of calls that policies refuse, in a mesh of real Envoys; and a gateway as a caller."""

import json

import pytest

from tests.e2e.access_lab import MANIFESTS, policy, put
from tests.e2e.commands import tsunagu
from tests.e2e.why_lab import why
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.fixture(scope="module")
def lab():
    with Mesh() as mesh:
        mesh.apply(text=MANIFESTS)
        mesh.wait_steady(120)
        yield mesh


@pytest.fixture(autouse=True)
def afterwards(lab):
    yield
    put(lab)


@pytest.mark.parametrize(
    ("target", "request_said", "entry"),
    [
        ("http://orders/items", "GET /items", "{from: [{service: webs}], requests: [{method: GET, path: /items}]}"),
        ("orders:7000", "connections", "{from: [{service: webs}]}"),
        (
            "orders:9000",
            "POST /grpc.health.v1.Health/Check",
            "{from: [{service: webs}], requests: [{serviceName: grpc.health.v1.Health, methodName: Check}]}",
        ),
    ],
)
def test_why_says_which_policy_refuses_and_what_to_write(lab, target, request_said, entry):
    put(lab, policy("orders", "{from: [{service: web}]}"))
    asked = why(lab, "webs", target)
    assert (asked.kind, asked.sure) == ("access-refused", "sure"), asked
    assert asked.sentence == (
        f"default/orders does not take {request_said} from webs: AccessPolicy lab/orders selects its port"
        f" {asked.facts.access.port}, and no rule allows it; add to its allow: {entry}."
    )
    # Policies add up; a rule with requests is of ports that have such.
    put(lab, policy("orders", "{from: [{service: web}]}"), policy("more", entry, asked.facts.access.port))
    assert why(lab, "webs", target).kind != "access-refused"


def test_access_says_the_same_as_a_command(lab):
    put(lab, policy("orders", "{from: [{service: web}]}"))
    assert "allowed: web calls orders:80 (GET /)" in tsunagu(lab, "access", "web", "orders:80")
    refused = tsunagu(lab, "access", "webs", "orders:80", "POST", "/orders", code=9)
    assert "AccessPolicy lab/orders" in refused
    found = json.loads(tsunagu(lab, "access", "-o", "json"))
    assert {(one["port"], one["tls"], one["open"]) for one in found} == {
        (port, "strict", False) for port in ("http", "rpc", "raw")
    }


def test_a_gateway_is_a_caller_of_its_own(lab):
    address = lab.publish("orders:80")
    name = next(obj.meta.name for obj in lab.objects("Gateway"))
    assert lab.call(f"http://{address}/").status == 200
    put(lab, policy("orders", "{from: [{service: web}]}"))
    assert lab.call(f"http://{address}/").status == 403
    put(lab, policy("orders", f"{{from: [{{gateway: {name}}}]}}"))
    assert lab.call(f"http://{address}/").status == 200
