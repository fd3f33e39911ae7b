"""What changes of traffic cost, and that a task's change never looks at a route: counted, among many services of ten rules."""

import pytest

from tests.unit.translate.test_costs import Mesh, port, put, revision_name, task
from tsunagu.model import ids
from tsunagu.model.manifests import formats
from tsunagu.testing import objects as o
from tsunagu.translate import routes
from tsunagu.v1 import objects_pb2
from tsunagu.xds.resources import CDS, EDS, LDS, RDS

RULES = 10


def written(text):
    documents = formats.read([formats.Source("traffic.yaml", text)])
    return [put(ids.make(one.kind, one.name, one.message)) for one in documents]


def rule(service, number, weight=1):
    return (
        f"{{kind: Route, name: shop/s{service}-{number}, alias: s{service}, match: {{prefix: /{number}}}, "
        f"action: {{weightedTargets: [{{target: s{service}, weight: {weight}}}]}}}}"
    )


def policy(service, members):
    return f"{{kind: TrafficPolicy, name: shop/s{service}, {members}}}"


def shifted(service, weights=(), tested=""):
    made = (objects_pb2.RevisionWeight(revision=name, weight=weight) for name, weight in weights)
    found = o.service(f"default/s{service}", "a1")
    found.service.status.traffic.CopyFrom(objects_pb2.ServiceTraffic(weights=made, test_revision=tested))
    return put(found)


@pytest.fixture(params=[10, 100])
def mesh(request, monkeypatch):
    made = Mesh(request.param, monkeypatch)
    made.apply(written("\n---\n".join(rule(one, number) for one in range(request.param) for number in range(RULES))))
    compared = []
    inputs = routes.inputs
    monkeypatch.setattr(routes, "inputs", lambda *key: compared.append(key[1:]) or inputs(*key))
    made.compared = compared
    return made


@pytest.mark.parametrize("mesh", [10, 100, 1000], indirect=True)
def test_an_endpoint_change_encodes_one_assignment_and_compares_no_route(mesh):
    work = mesh.apply([put(task(7, copy=2))])
    assert (work.encoded, work.touched, work.rows_read) == ({EDS: 1}, 1, 30)
    assert mesh.compared == []


def test_a_rule_encodes_the_table_of_its_alias(mesh):
    work = mesh.apply(written(rule(7, 3, weight=5)))
    assert work.encoded == {}  # the only target's weight says nothing
    work = mesh.apply(written(rule(7, 3).replace("/3", "/three")))
    assert work.encoded == {RDS: 1}
    assert {key[1] for key in mesh.compared} == {"s7"}


def test_a_policy_of_requests_encodes_tables_and_leaves_clusters_alone(mesh):
    work = mesh.apply(written(policy(7, "timeout: {perRequest: {unit: s, value: 3}}")))
    assert work.encoded == {RDS: 2}  # the service's two aliases


def test_a_policy_of_endpoints_encodes_the_cluster_alone(mesh):
    work = mesh.apply(written(policy(7, "outlierDetection: {maxServerErrors: 2}")))
    assert work.encoded == {CDS: 1}


def test_a_step_of_a_shift_encodes_one_assignment(mesh):
    mesh.apply(
        [
            put(o.revision(revision_name(7, "b2"), port(7))),
            put(o.task("default/s7-9", revision_name(7, "b2"), "10.9.7.9")),
        ]
    )
    work = mesh.apply([shifted(7, [(revision_name(7), 950), (revision_name(7, "b2"), 50)])])
    assert work.encoded == {EDS: 1}
    work = mesh.apply([shifted(7, [(revision_name(7), 900), (revision_name(7, "b2"), 100)])])
    assert work.encoded == {EDS: 1}
    work = mesh.apply([shifted(7)])
    assert work.encoded == {EDS: 1}


def test_test_traffic_adds_a_cluster_with_its_assignment_and_a_rule(mesh):
    mesh.apply(
        [
            put(o.revision(revision_name(7, "b2"), port(7))),
            put(o.task("default/s7-9", revision_name(7, "b2"), "10.9.7.9")),
        ]
    )
    work = mesh.apply([shifted(7, tested=revision_name(7, "b2"))])
    assert work.encoded == {CDS: 1, EDS: 1, RDS: 2}
    assert mesh.apply([shifted(7)]).encoded == {RDS: 2}


def test_no_change_of_traffic_touches_a_listener(mesh):
    changes = [
        written(rule(7, 3).replace("/3", "/three")),
        written(policy(7, "fault: {abort: {percent: 1, httpStatus: 500}}, loadBalancing: {algorithm: RANDOM}")),
        [shifted(7, [(revision_name(7), 1000)], tested=revision_name(7))],
        [("Route", "shop/s7-3", None, None), ("TrafficPolicy", "shop/s7", None, None)],
    ]
    assert all(LDS not in mesh.apply(change).encoded for change in changes)
