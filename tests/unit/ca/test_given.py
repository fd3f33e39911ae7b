"""A certificate authority of the user's: used as it is, or refused before anything starts."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.unit.ca.made import NOW, Made, ca, request
from tsunagu.ca import given, requests
from tsunagu.ca.refusals import BadAuthority
from tsunagu.model import identities


def parse(certificate, key):
    return given.parse(("ca.pem", certificate), ("ca.key", key), NOW)


@pytest.mark.parametrize(
    ("asked", "uris", "domain"),
    [
        ("", [""], ""),
        ("", ["", "spiffe://bank.example"], "bank.example"),
        ("bank.example", ["", "spiffe://bank.example"], "bank.example"),
        ("bank.example", [], "bank.example"),
    ],
)
def test_a_mesh_has_the_trust_domain_that_is_asked_for_or_that_its_authorities_name(asked, uris, domain):
    assert given.agreed(asked, named(uris)) == domain


@pytest.mark.parametrize(
    ("asked", "uris", "words"),
    [
        ("mesh.example", ["spiffe://bank.example"], "0.pem is of the trust domain bank.example, and --trust-domain says mesh.example"),
        ("", ["spiffe://a.example", "spiffe://b.example"], "1.pem is of the trust domain b.example, and .*0.pem of a.example"),
    ],
)  # fmt: skip
def test_authorities_of_other_trust_domains_are_refused(asked, uris, words):
    with pytest.raises(BadAuthority, match=words):
        given.agreed(asked, named(uris))


def named(uris):
    """Authorities whose certificates name these."""
    made = [ca(uri=uri) for uri in uris]
    return [given.parse((f"{at}.pem", one.pem), ("key", one.key_pem), NOW) for at, one in enumerate(made)]


def test_a_root_of_ones_own():
    root = ca()
    signer = parse(root.pem, root.key_pem)
    assert signer.source == "ca.pem"
    assert signer.told().certificate == root.pem.decode()


def test_an_intermediate_signs_and_its_root_is_what_proxies_trust():
    root = ca("root")
    middle = ca("middle", issuer=root, pathlen=1)
    lower = ca("lower", issuer=middle, pathlen=0)
    signer = parse(lower.pem + middle.pem + root.pem, lower.key_pem)
    assert signer.told().certificate == root.pem.decode()
    leaf = signer.sign(requests.key_of(request()), identities.of_gateway("a.b", "shop", "edge"), NOW, 60)
    assert [one.subject for one in leaf.chain[1:]] == [lower.certificate.subject, middle.certificate.subject]


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP521R1())])
def test_keys_of_other_kinds_sign_too(key):
    root = ca(key=key)
    signer = parse(root.pem, root.key_pem)
    leaf = signer.sign(requests.key_of(request()), identities.of_gateway("a.b", "shop", "edge"), NOW, 60)
    leaf.chain[0].verify_directly_issued_by(root.certificate)


@pytest.mark.parametrize(
    ("uri", "domain"),
    [("spiffe://shop.example", "shop.example"), ("", ""), ("https://shop.example", ""), ("spiffe://Not Good", "")],
)
def test_the_trust_domain_is_the_one_that_the_certificate_names(uri, domain):
    root = ca(uri=uri)
    assert given.trust_domain(parse(root.pem, root.key_pem)) == domain


ROOT = ca("root")
OTHER = ca("other")


def chained(*made):
    return b"".join(one.pem for one in made), made[0].key_pem


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        (b"", ROOT.key_pem, "ca.pem holds no certificate in PEM"),
        (b"hello", ROOT.key_pem, "ca.pem holds no certificate in PEM"),
        (ROOT.key_pem, ROOT.key_pem, "ca.pem holds no certificate in PEM"),
        (ROOT.pem, ROOT.pem, "ca.key holds no private key in PEM"),
        (ROOT.pem, ROOT.locked_key_pem, "ca.key is encrypted"),
        (ROOT.pem, Made(ed25519.Ed25519PrivateKey.generate(), None).key_pem, "kind that Envoy does not verify"),
        (ROOT.pem, OTHER.key_pem, "'CN=root' is of another key than ca.key"),
        (ROOT.pem + OTHER.pem, ROOT.key_pem, "'CN=root' is not signed by .*'CN=other'"),
        (*chained(ca("leaf", is_ca=False)), "is not a CA"),
        (*chained(ca("mute", signs=False)), "has no keyCertSign"),
        (*chained(ca("old", end=-1)), "has expired, on 2026-11-26 11:59:59 UTC"),
        (*chained(ca("young", begin=10)), "good only from 2026-11-26 12:00:10 UTC on"),
        (*chained(ca("weak", key=rsa.generate_private_key(65537, 1024))), "key of RSA with 1024 bits"),
        (*chained(ca("middle", issuer=ROOT)), "is not a root: append its issuer .CN=root."),
        (
            *chained(ca("low", issuer=(short := ca("short", pathlen=0, issuer=ROOT))), short, ROOT),
            "'CN=short' allows 0 CAs below it",
        ),
    ],
)
def test_what_cannot_sign_is_refused_with_file_and_reason(certificate, key, words):
    with pytest.raises(BadAuthority, match=words):
        parse(certificate, key)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(BadAuthority, match=r"nowhere.pem cannot be read: No such file"):
        given.read(tmp_path / "nowhere.pem", tmp_path / "nowhere.key", NOW)
