"""What a change of AccessPolicies costs, counted: what it selects is encoded, once, and no listener."""

import pytest

from tests.golden.access import trusted
from tests.unit.translate.test_costs import Mesh, put, revision_name, task
from tests.unit.translate.test_traffic_costs import written
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.xds.resources import ECDS, EDS, LDS, SDS


def policy(service, caller, name="p"):
    return f"{{kind: AccessPolicy, name: shop/{name}{service}, to: {{service: s{service}}}, allow: [{{from: [{{service: s{caller}}}]}}]}}"


@pytest.fixture(params=[10, 40])
def mesh(request, monkeypatch):
    made = Mesh(request.param, monkeypatch)
    made.apply([put(trusted()), *written("{kind: Namespace, name: shop, tls: strict}")])
    made.apply(written("\n---\n".join(policy(one, 0) for one in range(request.param))))
    return made


def test_a_policy_encodes_the_filter_of_its_service_and_no_listener(mesh):
    work = mesh.apply(written(policy(7, 1)))
    assert work.encoded == {ECDS: 1}
    assert work.bundles == ["rev/default/s7/a1"]
    assert work.touched == 1


def test_it_is_encoded_once_for_all_revisions_in_force(mesh):
    mesh.apply(
        [
            put(o.revision(revision_name(7, "b2"), o.port("s7"))),
            put(o.task("default/s7-9", revision_name(7, "b2"), "10.9.7.9")),
        ]
    )
    work = mesh.apply(written(policy(7, 1)))
    assert work.encoded == {ECDS: 1}
    assert work.bundles == ["rev/default/s7/a1", "rev/default/s7/b2"]


def test_a_policy_that_says_the_same_encodes_nothing(mesh):
    assert mesh.apply(written(policy(7, 0))).encoded == {}


def test_another_policy_for_the_same_service_encodes_the_same_filter(mesh):
    assert mesh.apply(written(policy(7, 1, "q"))).encoded == {ECDS: 1}
    gone = [("AccessPolicy", "shop/q7", None, None)]
    assert mesh.apply(gone).encoded == {ECDS: 1}


def test_a_policy_for_nobody_s_service_costs_nothing(mesh):
    work = mesh.apply(written(policy(777, 1)))
    assert (work.encoded, work.bundles) == ({}, [])


def test_an_endpoint_change_encodes_no_filter(mesh):
    work = mesh.apply([put(task(7, copy=2))])
    assert set(work.encoded) <= {EDS}


def test_a_tcp_port_has_a_secret_and_a_counter(mesh):
    raw = o.port("raw", app_protocol="tcp", container_port=9000, ingress_port=15101)
    mesh.apply([put(o.revision("default/s7/a1", o.port("s7"), raw))])
    assert mesh.apply(written(policy(7, 1))).encoded == {ECDS: 2, SDS: 1}


def test_where_tls_is_off_nothing_is_encoded(mesh):
    work = mesh.apply(written("{kind: Namespace, name: shop}"))
    assert not {ECDS, SDS} & set(work.encoded)
    assert mesh.apply(written(policy(7, 1))).encoded == {}
    assert ids.kind_of(trusted()) == "TrustBundle"


def test_a_new_authority_encodes_no_filter_and_no_listener(mesh):
    other = trusted()
    other.trust_bundle.authorities.add(certificate="-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n")
    assert not {ECDS, LDS} & set(mesh.apply([put(other)]).encoded)
