"""What an AccessPolicy must be to be kept, and what is warned of; each row is a manifest beside a small mesh."""

import pytest

from tests.unit.model.test_traffic_rules import MESH as PLAIN
from tests.unit.model.test_traffic_rules import named
from tsunagu.model import ids
from tsunagu.model.manifests import formats
from tsunagu.model.manifests.warnings import warnings_for
from tsunagu.model.rules.indexes import Indexes
from tsunagu.model.rules.validate import check_batch, state_after

NAMESPACE = "{kind: Namespace, name: shop}"
assert NAMESPACE in PLAIN


def mesh(tls):
    return PLAIN.replace(NAMESPACE, f"{{kind: Namespace, name: shop, tls: {tls}}}")


FROM_ALL = "from: [{service: all}]"


def policy(rule, to="service: all, ports: [web]", name="shop/p", more=""):
    return f"{{kind: AccessPolicy, name: {name}, to: {{{to}}}, allow: [{{{rule}}}]{more}}}"


def read(manifest, tls="strict"):
    return formats.read_all([formats.Source("mesh.yaml", mesh(tls)), formats.Source("access.yaml", manifest)])


def objects_of(reading):
    objects = [ids.make(one.kind, named(one), one.message) for one in reading.documents]
    for obj in objects:
        if ids.kind_of(obj) == "TaskDefinition":
            obj.task_definition.revision = 1
    return objects


def issues(manifest, tls="strict"):
    """PATH: MESSAGE of everything that is wrong."""
    reading = read(manifest, tls)
    found = reading.issues or check_batch(objects_of(reading), [], {})
    return [f"{one.path}: {one.message}" for one in found]


def warnings(manifest, tls="strict"):
    objects = objects_of(read(manifest, tls))
    indexes = Indexes(state_after({}, objects), {})
    return [f"{one.path}: {one.message}" for one in warnings_for(objects[-1], indexes)]


SOUND = [
    policy(FROM_ALL),
    policy(FROM_ALL, "service: default/all"),
    policy("from: [{hosts: true}]"),
    policy("from: [{everybody: true}, {gateway: front}, {family: job, cluster: batch}, {anyone: true}]"),
    policy("from: [{service: all, namespace: shop}, {namespace: shop, everybody: true}]"),
    policy(f"{FROM_ALL}, requests: [{{method: GET, prefix: /items}}, {{path: /}}, {{method: POST}}]"),
    policy(
        f"{FROM_ALL}, requests: [{{serviceName: a.B, methodName: C}}, {{serviceName: a.B}}]",
        "service: all, ports: [rpc]",
    ),
    policy(FROM_ALL, "service: all, ports: [db]"),
    policy(FROM_ALL, more=", mode: audit"),
    "{kind: AccessPolicy, name: shop/nobody, to: {service: all}}",
]


@pytest.mark.parametrize("manifest", SOUND)
def test_it_is_kept(manifest):
    assert issues(manifest) == []
    assert warnings(manifest) == []


UNSOUND = [
    (policy(FROM_ALL, name="p"), "name: it must be NAMESPACE/NAME"),
    (policy(FROM_ALL, name="shp/p"), "name: there is no namespace 'shp'"),
    ("{kind: AccessPolicy, name: shop/p}", ": to is missing"),
    (policy(FROM_ALL, "ports: [web]"), "to: service is missing"),
    (policy(FROM_ALL, "service: al"), "to.service: there is no service 'default/al'"),
    (policy(FROM_ALL, "service: all, ports: [wb]"), "to.ports[0]: default/all offers no port 'wb'"),
    (policy("requests: [{method: GET}]"), "allow[0]: from is missing"),
    (policy("from: [{}]"), "allow[0].from[0]: must say one caller, has none"),
    (policy("from: [{service: all, hosts: true}]"), "allow[0].from[0]: must say one caller, has service, hosts"),
    (policy("from: [{namespace: shop}]"), "allow[0].from[0]: says where callers are, not who"),
    (policy("from: [{service: all, cluster: b}]"), "allow[0].from[0].cluster: is of a family"),
    (policy("from: [{anyone: true, namespace: shop}]"), "allow[0].from[0].namespace: anyone is of every namespace"),
    (policy(f"{FROM_ALL}, requests: [{{}}]"), "allow[0].requests[0]: says nothing of a request"),
    (
        policy(f"{FROM_ALL}, requests: [{{path: /a, prefix: /b}}]"),
        "allow[0].requests[0]: must not set both path and prefix",
    ),
    (policy(f"{FROM_ALL}, requests: [{{prefix: a}}]"), "allow[0].requests[0].prefix: 'a' does not begin with '/'"),
    (
        policy(f"{FROM_ALL}, requests: [{{path: '/a?b'}}]"),
        "allow[0].requests[0].path: a path is compared without its query",
    ),
    (policy(f"{FROM_ALL}, requests: [{{method: FETCH}}]"), "allow[0].requests[0].method: 'FETCH' is none of"),
    (
        policy(f"{FROM_ALL}, requests: [{{serviceName: a.B}}]"),
        "allow[0].requests[0].serviceName: port web speaks http, not grpc",
    ),
    (
        policy(f"{FROM_ALL}, requests: [{{method: POST}}]", "service: all, ports: [rpc]"),
        "allow[0].requests[0]: port rpc speaks grpc",
    ),
    (
        policy(f"{FROM_ALL}, requests: [{{method: GET}}]", "service: all, ports: [db]"),
        "allow[0].requests[0]: port db speaks tcp: all that can be said of it is who calls",
    ),
    (policy(FROM_ALL, more=", mode: off"), "mode: 'off' is none of"),
]


@pytest.mark.parametrize(("manifest", "wrong"), UNSOUND)
def test_it_is_refused(manifest, wrong):
    assert any(found.startswith(wrong) for found in issues(manifest)), issues(manifest)


WARNED = [
    (policy("from: [{service: web}]"), "allow[0].from[0].service: there is no service 'default/web' yet"),
    (policy("from: [{service: all, namespace: back}]"), "allow[0].from[0].namespace: there is no namespace 'back' yet"),
    (policy("from: [{gateway: frnt}]"), "allow[0].from[0].gateway: there is no gateway 'frnt' yet"),
]


@pytest.mark.parametrize(("manifest", "warned"), WARNED)
def test_a_caller_that_is_not_there_is_warned_of(manifest, warned):
    assert issues(manifest) == []
    assert warnings(manifest) == [warned]


# -- modes of TLS -----------------------------------------------------------------------------------------------------


def test_where_tls_is_off_a_policy_cannot_be_enforced():
    assert issues(policy(FROM_ALL), "'off'") == [
        "to: cannot be enforced at web: TLS is off there, so callers have no identity"
    ]


def test_a_port_with_tls_of_its_own_tells_its_callers_apart():
    objects = objects_of(read(policy(FROM_ALL), "'off'"))
    service = next(obj.service for obj in objects if ids.kind_of(obj) == "Service")
    tls = service.spec.service_connect_configuration.services[0].tls
    tls.issuer_certificate_authority.aws_pca_authority_arn = "arn:aws:acm-pca:eu-west-1:1:certificate-authority/x"
    assert check_batch(objects, [], {}) == []


def test_where_plaintext_is_taken_too_a_policy_warns_of_it():
    assert issues(policy(FROM_ALL), "permissive") == []
    assert warnings(policy(FROM_ALL), "permissive") == [
        "to: callers that speak plaintext are let in at web all the same, until the namespace is `tls: strict`"
    ]


def test_tls_cannot_be_switched_off_under_a_policy():
    before = state_after({}, objects_of(read(policy(FROM_ALL))))
    off = next(obj for obj in objects_of(read("", "'off'")) if ids.kind_of(obj) == "Namespace")
    (found,) = check_batch([off], [], before)
    assert found.path == "tls"
    assert found.message == "AccessPolicy shop/p could not be enforced any more: TLS would be off"
    assert check_batch([off], [("AccessPolicy", "shop/p")], before) == []
