"""Reads a certificate authority of the user's: `--ca-cert` and `--ca-key`.

The one rule: what could not sign, or would sign what no proxy accepts, is refused before anything starts, with the file and
what would be right. The certificate's file has the one that signs first, then each issuer, up to the root.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from tsunagu.ca.authority import SigningAuthority
from tsunagu.ca.refusals import BadAuthority
from tsunagu.model import identities

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tsunagu.ca.authority import SigningKey

_SMALLEST_RSA: Final = 2048
_SMALLEST_CURVE: Final = 256
_BROKEN_HASHES: Final = frozenset({"md5", "sha1"})
_MOST_BYTES: Final = 256 * 1024


def read(certificate: Path, key: Path, now: float) -> SigningAuthority:
    """Return the authority of two PEM files. Raises BadAuthority."""
    return parse((str(certificate), _bytes(certificate)), (str(key), _bytes(key)), now)


def parse(certificate: tuple[str, bytes], key: tuple[str, bytes], now: float) -> SigningAuthority:
    """Return the authority of two texts in PEM, each with the name of its file. Raises BadAuthority."""
    file, text = certificate
    try:
        chain = x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise BadAuthority(f"{file} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from error
    secret = _key(*key)
    for problem in (*_of_chain(chain), *_of_times(chain, now), *_of_key(chain[0], secret, key[0])):
        raise BadAuthority(f"{file}: {problem}")
    return SigningAuthority(secret, tuple(chain), file)


def trust_domain(authority: SigningAuthority) -> str:
    """Return the trust domain that the authority's certificate names (its only SPIFFE URI); empty if it names none."""
    try:
        names = authority.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = names.get_values_for_type(x509.UniformResourceIdentifier)
    try:
        domains = {identities.parse(one).trust_domain for one in found if one.startswith("spiffe://")}
    except identities.BadIdentity:
        return ""
    return domains.pop() if len(domains) == 1 else ""


def agreed(asked: str, authorities: Iterable[SigningAuthority]) -> str:
    """Return the trust domain of a mesh with these authorities: `asked`, or what they name; empty: neither says anything.

    Raises BadAuthority when one names another: an authority signs identities of its own trust domain alone (SPIFFE,
    X509-SVID 3.2).
    """
    found, says = asked, f"--trust-domain says {asked}"
    for one in authorities:
        named = trust_domain(one)
        if named and found and named != found:
            what = f"{one.source} is of the trust domain {named}, and {says}"
            raise BadAuthority(f"{what}; all authorities of a mesh, and --trust-domain, have to name the same one")
        if named and not found:
            found, says = named, f"{one.source} of {named}"
    return found


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise BadAuthority(f"{file} is larger than {_MOST_BYTES:,} bytes, and no certificate or key")
        return file.read_bytes()
    except OSError as error:
        raise BadAuthority(f"{file} cannot be read: {error.strerror}") from error


def _key(file: str, text: bytes) -> SigningKey:
    try:
        key = load_pem_private_key(text, password=None)
    except TypeError as error:
        raise BadAuthority(f"{file} is encrypted; give the key without a password, mode 0600") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadAuthority(f"{file} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise BadAuthority(f"{file} is a key of a kind that Envoy does not verify; one of EC or RSA would be right")
    return key


def _of_chain(chain: Sequence[x509.Certificate]) -> Iterator[str]:
    for position, one in enumerate(chain):
        yield from _of_ca(one, position)
        weak = _weakness(one.public_key())
        if weak:
            yield f"{_called(one)} has {weak}; EC P-256 or RSA {_SMALLEST_RSA} are the least"
        hashed = one.signature_hash_algorithm
        if hashed is not None and hashed.name in _BROKEN_HASHES:
            yield f"{_called(one)} is signed with {hashed.name.upper()}, which proxies refuse"
    for one, issuer in pairwise(chain):
        if not _signed_by(one, issuer):
            yield f"{_called(one)} is not signed by {_called(issuer)}, which follows it: each certificate's issuer comes next"
    if not _signed_by(chain[-1], chain[-1]):
        yield f"{_called(chain[-1])} is not a root: append its issuer ({chain[-1].issuer.rfc4514_string()}), up to the one that signed itself"


def _of_ca(one: x509.Certificate, below: int) -> Iterator[str]:
    """What keeps a certificate from being a CA. `below`: how many CAs stand below it."""
    try:
        constraints = one.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = x509.BasicConstraints(ca=False, path_length=None)
    if not constraints.ca:
        yield f"{_called(one)} is not a CA (its basicConstraints do not say CA:TRUE)"
    elif constraints.path_length is not None and constraints.path_length < below:
        yield f"{_called(one)} allows {constraints.path_length} CAs below it (pathlen), and {below} are"
    try:
        usage = one.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.key_cert_sign:
        yield f"{_called(one)} may not sign certificates (its keyUsage has no keyCertSign)"


def _of_times(chain: Sequence[x509.Certificate], now: float) -> Iterator[str]:
    moment = datetime.fromtimestamp(now, UTC)
    for one in chain:
        if moment >= one.not_valid_after_utc:
            yield f"{_called(one)} has expired, on {one.not_valid_after_utc:%F %T} UTC"
        if moment < one.not_valid_before_utc:
            yield f"{_called(one)} is good only from {one.not_valid_before_utc:%F %T} UTC on"


def _of_key(certificate: x509.Certificate, key: SigningKey, file: str) -> Iterator[str]:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        yield f"{_called(certificate)} is of another key than {file}; the certificate that signs comes first"


def _weakness(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"a key on the curve {key.curve.name}" if key.key_size < _SMALLEST_CURVE else ""
    if isinstance(key, rsa.RSAPublicKey):
        return f"a key of RSA with {key.key_size} bits" if key.key_size < _SMALLEST_RSA else ""
    return "a key of a kind that Envoy does not verify"


def _signed_by(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _called(one: x509.Certificate) -> str:
    return f"the certificate {one.subject.rfc4514_string() or one.serial_number!r}"
