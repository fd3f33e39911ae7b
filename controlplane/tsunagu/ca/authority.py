"""A certificate authority that can sign: made here, or read from a user's files.

The one rule: it signs only what `requests` has accepted, for an ID that its caller took from the registry. What a certificate
says follows the SPIFFE standards, X509-SVID, sections 2 to 4: one URI, no subject, not a CA, and digitalSignature alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tsunagu.v1 import identities_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from tsunagu.ca.requests import LeafKey
    from tsunagu.model.identities import Identity

    SigningKey = ec.EllipticCurvePrivateKey | RSAPrivateKey

LIFE: Final = timedelta(days=365)
"""How long a root that was made here is good; when two thirds of it have passed, another follows."""
SKEW: Final = timedelta(seconds=60)
"""A certificate is good from so long before it was made, for readers whose clock is behind."""


class CannotSign(Exception):
    """The authority cannot sign now. The message says why, and is fit for whoever asked."""


@dataclass(frozen=True, slots=True)
class SigningAuthority:
    """An authority with its key. `chain`: from the certificate that signs (first) to the root (last); often these are one.

    `source`: "embedded", or the file that it was read from.
    """

    key: SigningKey
    chain: Sequence[x509.Certificate]
    source: str

    def __repr__(self) -> str:
        """Return it without the key."""
        return f"SigningAuthority({self.fingerprint[:16]}, {self.source!r})"

    @property
    def certificate(self) -> x509.Certificate:
        """The one that signs."""
        return self.chain[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate that signs, hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def told(self) -> identities_pb2.Authority:
        """Return what everybody may know of it."""
        message = identities_pb2.Authority(
            fingerprint=self.fingerprint,
            certificate=self.chain[-1].public_bytes(Encoding.PEM).decode(),
            subject=self.certificate.subject.rfc4514_string(),
        )
        message.not_after.FromDatetime(self.certificate.not_valid_after_utc)
        return message

    def is_due(self, now: float) -> bool:
        """Whether two thirds of its life have passed. `now`: seconds since the epoch, as everywhere here."""
        begin, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return _time(now) >= begin + (end - begin) * 2 / 3

    def sign(self, key: LeafKey, identity: Identity, now: float, life: float) -> Leaf:
        """Return a certificate of `key` for `identity`, good for `life` seconds, or as long as the authority is.

        Raises CannotSign when the authority itself is not good now.
        """
        begin, end = self.certificate.not_valid_before_utc, min(one.not_valid_after_utc for one in self.chain)
        if not begin <= _time(now) < end:
            raise CannotSign(f"the certificate authority is good from {begin:%F %T} to {end:%F %T} UTC, and not now")
        start, stop = max(begin, _time(now) - SKEW), min(end, _time(now) + timedelta(seconds=life))
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(stop)
        )
        for extension, critical in _of_leaf(key, self.certificate, str(identity)):
            builder = builder.add_extension(extension, critical)
        return Leaf((builder.sign(self.key, _hash(self.key)), *self.chain[:-1]), str(identity), self.fingerprint)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate that was signed (first), with the intermediates up to, but without, the root. `issuer`: a fingerprint."""

    chain: Sequence[x509.Certificate]
    identity: str
    issuer: str

    def told(self, authority: str) -> identities_pb2.IssueResponse:
        """Return the answer to whoever asked. `authority`: the name of the authority that signed."""
        leaf = self.chain[0]
        message = identities_pb2.Identity(
            id=self.identity, authority=authority, issuer=self.issuer, serial=f"{leaf.serial_number:x}"
        )
        message.not_before.FromDatetime(leaf.not_valid_before_utc)
        message.not_after.FromDatetime(leaf.not_valid_after_utc)
        chain = [one.public_bytes(Encoding.DER) for one in self.chain]
        return identities_pb2.IssueResponse(certificates=chain, identity=message)


def make(trust_domain: str, now: float) -> SigningAuthority:
    """Return a new root of the trust domain, P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tsunagu"),
            x509.NameAttribute(NameOID.COMMON_NAME, trust_domain[:64]),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"[:16]),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(_time(now) - SKEW)
        .not_valid_after(_time(now) + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_uri(f"spiffe://{trust_domain}"), critical=False)
    )
    return SigningAuthority(key, (builder.sign(key, hashes.SHA256()),), "embedded")


def _of_leaf(key: LeafKey, issuer: x509.Certificate, identity: str) -> Sequence[tuple[x509.ExtensionType, bool]]:
    """The extensions of a leaf, and whether each is critical."""
    return (
        (_uri(identity), True),  # RFC 5280, 4.2.1.6: critical where the subject is empty
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (_issuer_key(issuer), False),
    )


def _issuer_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _uri(text: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(text)])


def _usage(*allowed: str) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in allowed for name in names})


def _hash(key: SigningKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """The hash that goes with the key: as strong as its curve; SHA-256 for RSA."""
    size = key.key_size if isinstance(key, ec.EllipticCurvePrivateKey) else 256
    return hashes.SHA256() if size <= 256 else hashes.SHA384() if size <= 384 else hashes.SHA512()


def _time(now: float) -> datetime:
    return datetime.fromtimestamp(int(now), UTC)
