"""Keys of tasks and of the machine's calls: made here, and written into one file that the task's Envoy, or the node agent, alone reads.

Rule: a key leaves this module in two forms only: as part of the text of that file, and as the signature of a request. What goes
to Envoy has been checked, since Envoy quotes a file that it cannot parse in its log, and keeps nothing of a pair that does not match.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tsunagu.v1 import identities_pb2

SECRET: Final = "identity"  # noqa: S105 - the name of the secret in the file
_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_FORM: Final = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class Unusable(Exception):
    """The certificate does not fit the key, or is not what was asked for. The message says why, without either."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A private key, P-256."""

    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        """Return nothing of it."""
        return "OwnKey()"

    def request(self) -> bytes:
        """Return a PKCS #10 request, DER, that proves who holds the key and names nobody."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def file(self, answer: identities_pb2.IssueResponse, now: float) -> str:
        """Return the text of Envoy's file: an SDS DiscoveryResponse with the certificates and the key. Raises Unusable."""
        pem, private = self._pair(answer, now)
        secret = {
            "@type": _TYPE,
            "name": SECRET,
            "tls_certificate": {
                "certificate_chain": {"inline_string": pem},
                "private_key": {"inline_string": private},
            },
        }
        return json.dumps({"version_info": answer.identity.serial, "resources": [secret]})

    def pem(self, answer: identities_pb2.IssueResponse, now: float) -> str:
        """Return the text of a file as OpenSSL reads it: the certificates, the leaf first, and the key. Raises Unusable."""
        return "".join(self._pair(answer, now))

    def _pair(self, answer: identities_pb2.IssueResponse, now: float) -> tuple[str, str]:
        chain = _checked(answer, self.key, now)
        pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)
        return pem, self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def make() -> OwnKey:
    """Return a new key."""
    return OwnKey(ec.generate_private_key(ec.SECP256R1()))


def holds(text: str, identity: identities_pb2.Identity) -> bool:
    """Whether the text of Envoy's file has that certificate, with the key that fits it."""
    try:
        (secret,) = json.loads(text)["resources"]
        found = secret["tls_certificate"]
        pem = found["certificate_chain"]["inline_string"] + found["private_key"]["inline_string"]
    except (ValueError, KeyError, TypeError):
        return False
    return holds_pem(pem, identity)


def holds_pem(text: str, identity: identities_pb2.Identity) -> bool:
    """Whether a text in PEM has that certificate first, with the key that fits it."""
    try:
        leaf = x509.load_pem_x509_certificates(text.encode())[0]
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, IndexError):
        return False
    return f"{leaf.serial_number:x}" == identity.serial and _fits(leaf, key)


def _checked(
    answer: identities_pb2.IssueResponse, key: ec.EllipticCurvePrivateKey, now: float
) -> Sequence[x509.Certificate]:
    try:
        chain = [x509.load_der_x509_certificate(one) for one in answer.certificates]
    except ValueError as error:
        raise Unusable("the control plane's certificate cannot be read") from error
    if not chain:
        raise Unusable("the control plane's answer has no certificate")
    leaf = chain[0]
    if not _fits(leaf, key):
        raise Unusable("the control plane's certificate is of another key")
    if _uris(leaf) != [answer.identity.id]:
        raise Unusable(f"the control plane's certificate is not that of {answer.identity.id}")
    if leaf.not_valid_after_utc.timestamp() <= now:
        raise Unusable("the control plane's certificate has expired already: one of the two clocks is wrong")
    return chain


def _fits(leaf: x509.Certificate, key: object) -> bool:
    public = getattr(key, "public_key", None)
    return public is not None and leaf.public_key().public_bytes(*_FORM) == public().public_bytes(*_FORM)


def _uris(leaf: x509.Certificate) -> Sequence[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return names.get_values_for_type(x509.UniformResourceIdentifier)
