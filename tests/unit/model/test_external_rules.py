"""What an External must be to be kept; each row is a manifest beside a small mesh, and what is wrong with it."""

import subprocess

import pytest

from tests.unit.model.test_traffic_rules import issues
from tsunagu.client import manifest_files
from tsunagu.model import ids
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests import formats
from tsunagu.model.manifests.warnings import warnings_for
from tsunagu.model.outside import external, pem
from tsunagu.model.rules.indexes import Indexes
from tsunagu.model.rules.validate import check_batch
from tsunagu.v1 import external_pb2, objects_pb2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate in PEM."""
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a"]
    path = tmp_path_factory.mktemp("pem") / "ca.pem"
    subprocess.run(["openssl", "req", *made, "-keyout", path.with_suffix(".key"), "-out", path], check=True)
    return path


def outside(members, name="shop/out"):
    return f"{{kind: External, name: {name}, {members}}}"


@pytest.mark.parametrize(
    "manifest",
    [
        outside("addresses: [db.example.com:5432]"),
        outside("addresses: [192.0.2.1:5432, 192.0.2.2:5432, host.tsunagu.internal:5432]"),
        outside("addresses: [192.0.2.1:1, 192.0.2.2:2], aliases: [{dnsName: out, port: 3}]"),
        outside("addresses: [a.example:443], appProtocol: grpc, tls: {}, timeout: {perRequestTimeoutSeconds: 0}"),
        outside("addresses: [192.0.2.1:443], appProtocol: http, tls: {serverName: a.example}"),
        outside("addresses: [192.0.2.1:443], tls: {subjectAltNames: [a.example, b.example]}"),
        outside("addresses: [a.example:443], appProtocol: http")
        + "\n---\n{kind: Route, name: shop/r, alias: out, action: {weightedTargets: [{target: out}]}}"
        + "\n---\n{kind: TrafficPolicy, name: shop/out, retryPolicy: {maxRetries: 1}}",
    ],
)
def test_what_is_right_is_kept(manifest):
    assert issues(manifest) == []


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (outside(""), "addresses is missing"),
        (outside("addresses: [a.example:1]", "nowhere/out"), "name: there is no namespace 'nowhere'"),
        (outside("addresses: [a.example:1]", "shop/Out"), "name: it must be NAMESPACE/NAME"),
        (outside("addresses: [a.example]"), "addresses[0]: 'a.example' is not valid; it must be HOST:PORT"),
        (outside("addresses: ['http://a.example:1']"), "addresses[0]: 'http://a.example:1' is not valid"),
        (outside("addresses: [a.example:70000]"), "addresses[0]: 70000 is not a port"),
        (outside("addresses: [127.0.0.1:1]"), "a program of this machine is at host.tsunagu.internal:PORT"),
        (outside("addresses: [169.254.169.254:80]"), "is of each task's own network"),
        (outside("addresses: [300.1.1.1:1]"), "'300.1.1.1' is not an IPv4 address"),
        (outside("addresses: [224.0.0.1:1]"), "is the address of no machine"),
        (outside("addresses: [a.example:1, b.example:2]"), "aliases: are missing: the addresses have several ports"),
        (outside("addresses: [a.example:1], aliases: [{dnsName: web, port: 80}]"), "already an alias of default/all"),
        (outside("addresses: [a.example:1], aliases: [{dnsName: localhost, port: 80}]"), "is every task itself"),
        (outside("addresses: [a.example:1]", "shop/web"), "name: 'web' is already the discoveryName of default/all"),
        (outside("addresses: ['web:80'], aliases: [{dnsName: out, port: 80}]"), "the call would come back"),
        (outside("addresses: [a.example:1], timeout: {idleTimeoutSeconds: 1}"), "timeout: has no effect: tcp"),
        (outside("addresses: [a.example:1], appProtocol: quic"), "appProtocol: 'quic' is none of tcp, http"),
        (outside("addresses: [192.0.2.1:1], tls: {}"), "tls: serverName is missing"),
        (outside("addresses: [a.example:1], tls: {caFile: ca.pem}"), "tls.caFile: ca.pem was not read"),
        (outside("addresses: [a.example:1], tls: {caCertificates: no}"), "holds no certificate in PEM"),
        (
            outside("addresses: [a.example:1]")
            + "\n---\n{kind: TrafficPolicy, name: shop/out, retryPolicy: {maxRetries: 1}}",
            "retryPolicy: has no effect: out speaks tcp",
        ),
    ],
)
def test_what_is_wrong_is_refused_and_explained(manifest, said):
    assert any(said in one for one in issues(manifest)), issues(manifest)


def test_a_service_may_not_take_an_externals_name():
    taken = outside("addresses: [a.example:80]", "shop/taken")
    service = """
---
kind: Service
serviceName: second
taskDefinition: all
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: web, discoveryName: taken, clientAliases: [{port: 80, dnsName: taken}]}]
"""
    found = issues(taken + service)
    assert any("shop/taken" in one for one in found), found


def test_a_namespace_with_an_external_is_not_deleted():
    state = {
        "Namespace": {"shop": ids.make("Namespace", "shop", objects_pb2.Namespace())},
        "External": {"shop/db": ids.make("External", "shop/db", external_pb2.External(addresses=["a.example:1"]))},
    }
    [held] = check_batch([], [("Namespace", "shop")], state)
    assert "External shop/db needs it" in held.message


@pytest.mark.parametrize(
    ("members", "aliases"),
    [
        ({"addresses": ["a.example:5432"]}, {("db", 5432), ("db.shop", 5432)}),
        ({"addresses": ["a.example:443"], "app_protocol": "http", "tls": {}}, {("db", 80), ("db.shop", 80)}),
        ({"addresses": ["a.example:636"], "tls": {}}, {("db", 636), ("db.shop", 636)}),
        ({"addresses": ["a.example:1"], "aliases": [{"dns_name": "x", "port": 9}]}, {("x", 9)}),
    ],
)
def test_where_apps_call_it(members, aliases):
    assert set(external.aliases("shop/db", external_pb2.External(**members))) == aliases


def test_apply_reads_the_file_of_authorities_beside_the_manifest(certificate):
    manifest = certificate.parent / "out.yaml"
    manifest.write_text("{kind: External, name: shop/out, addresses: [a.example:443], tls: {caFile: ca.pem}}")
    [document] = manifest_files.read_manifests([manifest])
    assert document.message.tls.ca_certificates == certificate.read_text()
    manifest.write_text("{kind: External, name: shop/out, addresses: [a.example:443], tls: {caFile: none.pem}}")
    with pytest.raises(ManifestError, match=r"out.yaml:1:.*none.pem: cannot be read: No such file"):
        manifest_files.read_manifests([manifest])


def test_authorities_are_certificates_alone(certificate):
    text, key = certificate.read_text(), certificate.with_suffix(".key").read_text()
    assert pem.fault(text) == pem.fault(text + text) == ""
    assert pem.fault(text + key) == "holds a private key; only certificates belong here"
    lines = text.splitlines()
    assert pem.fault("\n".join([lines[0], "!!!", lines[-1]])) == "certificate 1 in it is damaged"
    assert pem.fault("\n".join(lines[:-1])).startswith("holds no certificate in PEM")


@pytest.mark.parametrize(
    ("members", "runtime", "warned"),
    [
        ("addresses: [192.0.2.1:1, host.tsunagu.internal:1]", "docker", ["addresses[1]"]),
        ("addresses: [192.0.2.1:1, Host.tsunagu.internal:1]", "docker", ["addresses[1]"]),
        ("addresses: [192.0.2.1:1, host.tsunagu.internal:1]", "linux", []),
        ("addresses: [192.0.2.1:1, 192.0.2.2:1]", "docker", []),
        ("addresses: [host.tsunagu.internal:1]", "docker", []),
        ("addresses: [192.0.2.1:1, host.tsunagu.internal:1], appProtocol: http", "docker", []),
        ("addresses: [192.0.2.1:1, host.tsunagu.internal:1], tls: {serverName: a.example}", "docker", []),
    ],
)
def test_several_addresses_of_tcp_are_warned_of_where_a_refusal_at_this_machine_is_not_seen(members, runtime, warned):
    read = formats.read_all([formats.Source("a.yaml", outside(members))]).documents[0]
    node = ids.make("Node", "n", objects_pb2.Node(runtime=runtime))
    obj = ids.make("External", "shop/out", read.message)
    indexes = Indexes({"Node": {"n": node}, "External": {"shop/out": obj}}, {})
    assert [one.path for one in warnings_for(obj, indexes)] == warned
