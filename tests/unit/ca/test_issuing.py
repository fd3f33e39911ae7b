"""Who is given a certificate: the tasks of the node that asks, for the ID that the registry says."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.ca.made import NOW, request
from tsunagu.ca import rotation
from tsunagu.ca.files import AuthorityFiles
from tsunagu.ca.issuing import Issuer, node_token
from tsunagu.ca.refusals import Away, BadRequest, NotAuthenticated, NotNeeded, NotYours, TooOften
from tsunagu.ca.rotation import Facts
from tsunagu.kit import tokens
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.v1 import identities_pb2

KEY = b"k" * 32
REVISION = "default/orders/a1"
TASK = "default/orders-1"


def files(tmp_path, *names):
    found = AuthorityFiles(tmp_path / "ca", {})
    for name in names or ("default",):
        found.make(name, "tsunagu.local", NOW)
    return found


def bundle(found, name="default"):
    signer = found.made(name, NOW)[-1]
    body = rotation.begin(Facts(NOW, "tsunagu.local", signer.told(), "embedded", ("shop",)))
    return {name: ids.make("TrustBundle", name, body)}


def state(bundles, *, task=None, revision=None):
    task = task or o.task(TASK, REVISION, "10.9.0.2")
    revision = revision or o.revision(REVISION, o.port("orders"))
    return {"TrustBundle": bundles, "Task": {TASK: task}, "ServiceRevision": {REVISION: revision}}


def asked(*, node="n1", token=None, task=TASK, namespace="", body=None):
    token = tokens.mint(KEY, node_token(node)) if token is None else token
    return identities_pb2.IssueRequest(
        node=node, token=token, task=task, namespace=namespace, certificate_request=request() if body is None else body
    )


def test_a_task_gets_the_id_that_the_registry_says(tmp_path):
    found = files(tmp_path)
    key = ec.generate_private_key(ec.SECP256R1())
    answer = Issuer(found, KEY, 600).issue(asked(body=request(key)), state(bundle(found)), NOW)
    (leaf,) = map(x509.load_der_x509_certificate, answer.certificates)
    assert answer.identity.id == "spiffe://tsunagu.local/ns/shop/cluster/default/service/orders"
    assert answer.identity.issuer == found.made("default", NOW)[0].fingerprint
    assert answer.identity.not_after.ToSeconds() == NOW + 600
    assert leaf.public_key().public_numbers() == key.public_key().public_numbers()


def test_calls_from_a_machine_are_those_of_its_node(tmp_path):
    found = files(tmp_path)
    answer = Issuer(found, KEY).issue(asked(task="", namespace="shop"), state(bundle(found)), NOW)
    assert answer.identity.id == "spiffe://tsunagu.local/ns/shop/host/n1"


def test_a_task_that_runs_a_program_of_its_machine_is_that_machine(tmp_path):
    found = files(tmp_path)
    here = state(bundle(found), task=of_machine(), revision=o.revision(REVISION))
    here["ServiceRevision"][REVISION].service_revision.host = True
    assert Issuer(found, KEY).issue(asked(), here, NOW).identity.id == "spiffe://tsunagu.local/ns/shop/host/n1"


@pytest.mark.parametrize(("host", "ports"), [(False, []), (True, [o.port("orders")])])
def test_no_task_is_a_machine_whose_revision_says_otherwise_or_serves(tmp_path, host, ports):
    found = files(tmp_path)
    here = state(bundle(found), task=of_machine(), revision=o.revision(REVISION, *ports))
    here["ServiceRevision"][REVISION].service_revision.host = host
    with pytest.raises(NotYours, match="not one that only calls"):
        Issuer(found, KEY).issue(asked(), here, NOW)


def of_machine():
    task = o.task(TASK, REVISION, "10.9.0.2")
    task.task.spec.host = True
    return task


@pytest.mark.parametrize(
    ("arn", "authority"),
    [
        ("arn:aws:acm-pca:eu-west-1:1:certificate-authority/audit", "audit"),
        ("arn:aws:acm-pca:eu-west-1:1:certificate-authority/AUDIT", "audit"),
        ("arn:aws:acm-pca:eu-west-1:1:certificate-authority/elsewhere", "default"),
    ],
)
def test_the_authority_that_a_service_names_signs_if_it_is_here(tmp_path, arn, authority):
    found = files(tmp_path, "default", "audit")
    both = {**bundle(found), **bundle(found, "audit")}
    both["audit"].trust_bundle.trust_domain = "audit.example"  # as earlier versions wrote it
    port = o.port("orders")
    port.tls.authority = arn
    here = state(both, revision=o.revision(REVISION, port))
    identity = Issuer(found, KEY).issue(asked(), here, NOW).identity
    assert identity.authority == authority
    assert identity.id.startswith("spiffe://tsunagu.local/"), "callers insist on an ID of the mesh's trust domain"


OTHERS = tokens.mint(b"x" * 32, node_token("n1"))


@pytest.mark.parametrize(
    ("changed", "refusal", "words"),
    [
        ({"token": ""}, NotAuthenticated, "has not proven who it is"),
        ({"token": OTHERS}, NotAuthenticated, "has not proven who it is"),
        ({"token": tokens.mint(KEY, TASK)}, NotAuthenticated, "not that of node 'n1'"),
        ({"token": tokens.mint(KEY, node_token("n2"))}, NotAuthenticated, "not that of node 'n1'"),
        ({"node": "n2"}, NotYours, "node 'n2' runs no task 'default/orders-1'"),
        ({"task": "default/web-1"}, NotYours, "runs no task 'default/web-1'"),
        ({"task": "", "namespace": "lab"}, NotNeeded, "namespace 'lab' speaks no TLS"),
        ({"body": b"x"}, BadRequest, "cannot be read"),
    ],
)
def test_others_are_refused_with_the_reason(tmp_path, changed, refusal, words):
    found = files(tmp_path)
    with pytest.raises(refusal, match=words):
        Issuer(found, KEY).issue(asked(**changed), state(bundle(found)), NOW)


@pytest.mark.parametrize(
    ("task", "refusal"),
    [
        (o.task(TASK, REVISION, "10.9.0.2", last_status="STOPPED"), NotYours),
        (o.task(TASK, REVISION, "10.9.0.2", node="n2"), NotYours),
        (o.task(TASK, REVISION, "10.9.0.2", namespace="lab"), NotNeeded),
        (o.task(TASK, REVISION, "10.9.0.2", namespace=""), NotNeeded),
    ],
)
def test_a_task_that_is_gone_elsewhere_or_without_tls_gets_none(tmp_path, task, refusal):
    found = files(tmp_path)
    with pytest.raises(refusal):
        Issuer(found, KEY).issue(asked(), state(bundle(found), task=task), NOW)


def test_who_asks_too_often_is_told_so_and_others_are_answered(tmp_path):
    found = files(tmp_path)
    issuer, here = Issuer(found, KEY), state(bundle(found))
    for _ in range(12):
        issuer.issue(asked(), here, NOW)
    with pytest.raises(TooOften, match="12 certificates within 60 s"):
        issuer.issue(asked(), here, NOW + 1)
    issuer.issue(asked(task="", namespace="shop"), here, NOW + 1)
    issuer.issue(asked(), here, NOW + 61)


def test_without_the_key_that_signs_it_is_later(tmp_path):
    here = state(bundle(files(tmp_path)))
    with pytest.raises(Away, match="is being replaced"):
        Issuer(AuthorityFiles(tmp_path / "elsewhere", {}), KEY).issue(asked(), here, NOW)


def test_a_key_that_cannot_be_used_is_said_to_who_asks_and_it_is_later(tmp_path):
    found = files(tmp_path)
    bundles = bundle(found)
    (file,) = (tmp_path / "ca" / "default").glob("*.pem")
    file.chmod(0o644)
    again = Issuer(AuthorityFiles(tmp_path / "ca", {}), KEY)
    with pytest.raises(Away, match=r"has mode 0644, others may read it; make it 0600"):
        again.issue(asked(), state(bundles), NOW)
    file.chmod(0o600)
    assert again.issue(asked(), state(bundles), NOW).identity.id
