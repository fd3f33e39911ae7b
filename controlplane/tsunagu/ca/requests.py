"""Reads the certificate requests of node agents: of all that such a request says, its key alone counts.

The one rule: whoever asks has shown that it holds the key (the request's own signature), and a key that Envoy would refuse,
or that is too weak, is refused here, where somebody reads why.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tsunagu.ca.refusals import BadRequest

LeafKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

BYTES: Final = 8 * 1024
"""How long a request may be: one with a key of RSA 4096 and a few names has 2 KiB."""
CURVES: Final = ("secp256r1", "secp384r1")
SMALLEST_RSA: Final = 2048
LARGEST_RSA: Final = 4096  # verifying costs with the square of it


def key_of(request: bytes) -> LeafKey:
    """Return the key of a PKCS #10 request, DER, whose holder has signed it. Raises BadRequest."""
    if len(request) > BYTES:
        raise BadRequest(f"the certificate request has {len(request):,} bytes; at most {BYTES:,} are read")
    try:
        read = x509.load_der_x509_csr(request)
        key = read.public_key()
        proven = read.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise BadRequest("the certificate request cannot be read: it is PKCS #10, DER") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise BadRequest("a certificate is for a key of EC or RSA, which Envoy takes")
    check_strength(key)
    if not proven:
        raise BadRequest("the certificate request is not signed with its own key, so nobody has shown to hold it")
    return key


def check_strength(key: LeafKey) -> None:
    """Raise BadRequest when the key is too weak, or of a size that Envoy refuses."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise BadRequest(f"its key is on the curve {key.curve.name}; a task's is P-256 or P-384")
    elif not SMALLEST_RSA <= key.key_size <= LARGEST_RSA:
        raise BadRequest(f"its key is RSA of {key.key_size} bits; from {SMALLEST_RSA} to {LARGEST_RSA} are taken")
