"""Keys of tasks: in Envoy's file and nowhere else, and only with the certificate that fits."""

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.ca.made import NOW
from tsunagu.ca import authority, requests
from tsunagu.model import identities
from tsunagu.v1 import identities_pb2
from tsunagu_node.identity import keys
from tsunagu_node.identity.keys import Unusable

ORDERS = identities.of_service("tsunagu.local", "shop", "default", "orders")
SIGNER = authority.make("tsunagu.local", NOW)


def answer(key, *, identity=ORDERS, now=NOW, life=600.0):
    return SIGNER.sign(requests.key_of(key.request()), identity, now, life).told("default")


def test_a_request_proves_the_key_and_names_nobody():
    read = x509.load_der_x509_csr(keys.make().request())
    assert read.is_signature_valid
    assert len(read.subject) == 0
    assert isinstance(read.public_key().curve, ec.SECP256R1)


def test_the_file_is_what_envoy_reads():
    key = keys.make()
    text = key.file(answer(key), NOW)
    (secret,) = json.loads(text)["resources"]
    assert secret["name"] == "identity"
    assert secret["tls_certificate"]["certificate_chain"]["inline_string"].startswith("-----BEGIN CERTIFICATE-----")
    assert secret["tls_certificate"]["private_key"]["inline_string"].startswith("-----BEGIN PRIVATE KEY-----")


def test_its_file_is_known_again():
    key = keys.make()
    given = answer(key)
    text = key.file(given, NOW)
    assert keys.holds(text, given.identity)
    assert not keys.holds(text, answer(key).identity), "of another certificate"


def test_openssl_s_file_has_both_and_is_known_again():
    key = keys.make()
    given = answer(key)
    text = key.pem(given, NOW)
    assert [line for line in text.splitlines() if line.startswith("-----BEGIN")] == [
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----",
    ]
    assert keys.holds_pem(text, given.identity)
    assert not keys.holds_pem(text, answer(key).identity), "of another certificate"
    assert not keys.holds_pem(text.partition("-----BEGIN PRIVATE")[0], given.identity), "without the key"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"resources":[]}', '{"version_info":"0","resources":[{}]}'])
def test_any_other_file_is_not(text):
    assert not keys.holds(text, identities_pb2.Identity(serial="1"))


def test_a_key_of_another_certificate_is_not():
    mine, other = keys.make(), keys.make()
    given = answer(mine)
    mixed = json.loads(mine.file(given, NOW))
    private = json.loads(other.file(answer(other), NOW))["resources"][0]["tls_certificate"]["private_key"]
    mixed["resources"][0]["tls_certificate"]["private_key"] = private
    assert not keys.holds(json.dumps(mixed), given.identity)


def test_a_certificate_of_another_key_is_refused_before_envoy_sees_it():
    with pytest.raises(Unusable, match="of another key"):
        keys.make().file(answer(keys.make()), NOW)


def test_one_for_somebody_else_is_refused():
    key = keys.make()
    given = answer(key)
    given.identity.id = "spiffe://tsunagu.local/ns/shop/gateway/edge"
    with pytest.raises(Unusable, match=r"not that of spiffe://tsunagu.local/ns/shop/gateway/edge"):
        key.file(given, NOW)


def test_one_that_has_expired_and_none_at_all_are_refused():
    key = keys.make()
    with pytest.raises(Unusable, match="has expired already"):
        key.file(answer(key), NOW + 600)
    with pytest.raises(Unusable, match="no certificate"):
        key.file(identities_pb2.IssueResponse(), NOW)
    with pytest.raises(Unusable, match="cannot be read"):
        key.file(identities_pb2.IssueResponse(certificates=[b"x"]), NOW)


def test_a_key_is_never_shown():
    key = keys.make()
    assert repr(key) == "OwnKey()"
