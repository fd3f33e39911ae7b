"""Certificates of an authority of the user's own: an intermediate, and a second one that a service names by its ARN."""

import json
import time

import pytest
from cryptography.x509 import load_pem_x509_certificates

from tests.e2e.shop import PATIENCE
from tests.unit.ca.made import ca
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SERVICES = """
kind: Namespace
name: bank
tls: permissive
---
kind: TaskDefinition
family: app
networkMode: awsvpc
memory: "128"
containerDefinitions:
- {name: app, image: app, command: [python3, -m, http.server, "8080"], portMappings: [{name: http, containerPort: 8080, appProtocol: http}]}
---
kind: Service
serviceName: vault
taskDefinition: app
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: bank
  services:
  - portName: http
    discoveryName: vault
    clientAliases: [{port: 80, dnsName: vault}]
    tls: {issuerCertificateAuthority: {awsPcaAuthorityArn: "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/audit"}}
---
kind: Service
serviceName: teller
taskDefinition: app
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: bank
  services: [{portName: http, discoveryName: teller, clientAliases: [{port: 80, dnsName: teller}]}]
"""


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authorities")
    root = ca("our root", now=time.time(), uri="spiffe://bank.example")
    middle = ca("our intermediate", now=time.time(), issuer=root, pathlen=0, uri="spiffe://bank.example")
    audit = ca("audit", now=time.time())
    for name, chain, key in (("default", (middle, root), middle), ("audit", (audit,), audit)):
        (folder / f"{name}.pem").write_bytes(b"".join(one.pem for one in chain))
        (folder / f"{name}.key").write_bytes(key.key_pem)
    given = ";".join(f"{name}={folder}/{name}.pem,{folder}/{name}.key" for name in ("default", "audit"))
    (folder / "bank.yaml").write_text(SERVICES)
    with Mesh(folder / "bank.yaml", environment={"TSUNAGU_CA": given}) as mesh:
        mesh.wait_until(lambda: all(identities(mesh).values()) and len(identities(mesh)) == 2, PATIENCE, "identities")
        yield mesh


def identities(mesh):
    return {task.task.spec.service: task.task.status.identity.id for task in mesh.tasks()}


def chain_of(mesh, service):
    (task,) = mesh.tasks(service)
    file = mesh.home.tasks / task.meta.name.rpartition("/")[2] / "identity.json"
    (secret,) = json.loads(file.read_text())["resources"]
    return load_pem_x509_certificates(secret["tls_certificate"]["certificate_chain"]["inline_string"].encode())


def test_the_trust_domain_is_that_of_the_users_certificate(bank):
    assert identities(bank)["teller"] == "spiffe://bank.example/ns/bank/cluster/default/service/teller"


def test_intermediates_go_along_and_the_root_is_trusted(bank):
    leaf, middle = chain_of(bank, "teller")
    leaf.verify_directly_issued_by(middle)
    bundle = bank.get("TrustBundle", "default").trust_bundle
    (root,) = load_pem_x509_certificates(bundle.authorities[0].certificate.encode())
    middle.verify_directly_issued_by(root)
    assert bundle.source.endswith("default.pem")


def test_the_authority_that_the_arn_names_signs(bank):
    (leaf,) = chain_of(bank, "vault")
    (audit,) = load_pem_x509_certificates(
        bank.get("TrustBundle", "audit").trust_bundle.authorities[0].certificate.encode()
    )
    leaf.verify_directly_issued_by(audit)


def test_services_of_two_authorities_call_each_other(bank):
    assert identities(bank)["vault"] == "spiffe://bank.example/ns/bank/cluster/default/service/vault"
    bank.wait_steady()
    assert bank.call("http://vault/", from_task="teller").status == 200
    assert bank.call("http://teller/", from_task="vault").status == 200


def test_no_key_of_the_users_is_in_the_mesh(bank):
    assert not bank.home.authorities.exists()
