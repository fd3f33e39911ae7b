"""What an authority signs: one URI, no subject, not a CA; never longer than it lives itself."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from tests.unit.ca.made import NOW, ca, request
from tsunagu.ca import authority, given, requests
from tsunagu.ca.refusals import BadRequest
from tsunagu.model import identities

ORDERS = identities.of_service("tsunagu.local", "shop", "default", "orders")


def leaf_of(signer, *, key=None, now=NOW, life=3600.0):
    return signer.sign(requests.key_of(request(key)), ORDERS, now, life)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def test_a_leaf_says_who_it_is_and_nothing_else():
    signer = authority.make("tsunagu.local", NOW)
    (leaf,) = leaf_of(signer).chain
    names = extension(leaf, x509.SubjectAlternativeName)
    assert [one.value for one in names.value] == ["spiffe://tsunagu.local/ns/shop/cluster/default/service/orders"]
    assert names.critical, "RFC 5280: critical where the subject is empty"
    assert len(leaf.subject) == 0, "what the request called itself is not in it"
    assert not extension(leaf, x509.BasicConstraints).value.ca
    usage = extension(leaf, x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    assert set(extension(leaf, x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    assert leaf.issuer == signer.certificate.subject


def test_a_leaf_verifies_with_its_root_and_with_no_other():
    signer, other = authority.make("tsunagu.local", NOW), authority.make("tsunagu.local", NOW)
    (leaf,) = leaf_of(signer).chain
    at = datetime.fromtimestamp(NOW, UTC)
    good = PolicyBuilder().store(Store([signer.certificate])).time(at).build_client_verifier()
    assert good.verify(leaf, []).chain[-1] == signer.certificate
    bad = PolicyBuilder().store(Store([other.certificate])).time(at).build_client_verifier()
    with pytest.raises(x509.verification.VerificationError):
        bad.verify(leaf, [])


def test_a_leaf_is_good_a_minute_before_it_was_made_and_for_its_life():
    told = leaf_of(authority.make("tsunagu.local", NOW), life=600.0).told("default").identity
    assert told.not_before.ToSeconds() == NOW - 60
    assert told.not_after.ToSeconds() == NOW + 600
    assert told.authority == "default"


def test_a_leaf_does_not_outlive_its_authority():
    root = ca(end=100)
    signer = given.parse(("ca.pem", root.pem), ("ca.key", root.key_pem), NOW)
    assert leaf_of(signer).told("default").identity.not_after.ToSeconds() == NOW + 100
    with pytest.raises(authority.CannotSign, match="and not now"):
        leaf_of(signer, now=NOW + 100)


def test_serial_numbers_differ_and_do_not_count():
    signer = authority.make("tsunagu.local", NOW)
    serials = {leaf_of(signer).chain[0].serial_number for _ in range(20)}
    assert len(serials) == 20
    assert min(serials).bit_length() > 64


def test_a_root_is_good_for_a_year_and_due_after_two_thirds():
    signer = authority.make("tsunagu.local", NOW)
    assert signer.certificate.not_valid_after_utc == datetime.fromtimestamp(NOW, UTC) + timedelta(days=365)
    assert not signer.is_due(NOW + 240 * 86400)
    assert signer.is_due(NOW + 250 * 86400)
    assert isinstance(signer.key.curve, ec.SECP256R1)


def test_an_authority_never_shows_its_key():
    signer = authority.make("tsunagu.local", NOW)
    number = signer.key.private_numbers().private_value
    assert str(number) not in repr(signer)
    assert "PRIVATE" not in str(signer.told())


def test_a_key_is_taken_whatever_its_request_says_of_itself():
    key = ec.generate_private_key(ec.SECP384R1())
    assert requests.key_of(request(key)).public_numbers() == key.public_key().public_numbers()
    big = rsa.generate_private_key(65537, 2048)
    assert leaf_of(authority.make("tsunagu.local", NOW), key=big).chain[0].public_key().key_size == 2048


def tampered():
    raw = bytearray(request())
    raw[-1] ^= 1
    return bytes(raw)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: b"", "cannot be read"),
        (lambda: b"\x30\x03abc", "cannot be read"),
        (lambda: request() + b"x", "cannot be read"),
        (lambda: b"x" * 8193, "at most 8,192"),
        (lambda: request(rsa.generate_private_key(65537, 1024)), "RSA of 1024 bits"),
        (lambda: request(ec.generate_private_key(ec.SECP256K1())), "curve secp256k1"),
        (tampered, "not signed with its own key|cannot be read"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(made, words):
    with pytest.raises(BadRequest, match=words):
        requests.key_of(made())
