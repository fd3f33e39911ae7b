"""Verifies AWS Signature Version 4: that whoever sent a request has the mesh's secret key, and sent just this, just now.

The one rule: everything that the request does (method, path, query, target, body) is covered by the signature, which is computed
anew and compared in constant time; nothing of a request is looked at further before that.

Source: AWS General Reference, "Signature Version 4 signing process"; error codes as AWS's JSON services give them.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tsunagu.aws.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.aws.signatures.keys import KeyPair
    from tsunagu.kit.http_server import Request

ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: Seconds by which the clock of a client may differ from this one: AWS's five minutes.
SKEW: Final = 300
_TERMINATOR: Final = "aws4_request"
_DATE: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z")
_PARTS: Final = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_SCOPE: Final = re.compile(r"([^/\s]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/" + _TERMINATOR)
_FORBIDDEN: Final = 403


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is for: the key, the day, the region and the service that the client had in mind."""

    access_key_id: str
    day: str
    region: str
    service: str

    @property
    def text(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/{_TERMINATOR}"


@dataclass(frozen=True, slots=True)
class _Authorization:
    scope: Scope
    signed: tuple[str, ...]  # names of the headers that are signed
    signature: str


def verify(request: Request, keys: KeyPair, now: float) -> Scope:
    """Return the scope of a request's signature. `now`: seconds since the epoch. Raises AwsError when it is not valid."""
    authorization = _authorization(request.header("authorization"))
    _check_covered(request, authorization.signed)
    date = request.header("x-amz-date")
    _check_time(date, authorization.scope, now)
    known = hmac.compare_digest(authorization.scope.access_key_id.encode(), keys.access_key_id.encode())
    if not known or request.header("x-amz-security-token"):
        raise AwsError("UnrecognizedClientException", "The security token included in the request is invalid.")
    expected = signature(request, authorization.scope, authorization.signed, date, keys.secret_access_key)
    if not hmac.compare_digest(expected.encode(), authorization.signature.encode()):
        raise _mismatch("The request signature we calculated does not match the signature you provided.")
    return authorization.scope


def signature(request: Request, scope: Scope, signed: Sequence[str], date: str, secret: str) -> str:
    """Return the signature of a request under a secret key, in hexadecimal digits."""
    canonical = canonical_request(request, signed)
    to_sign = "\n".join((ALGORITHM, date, scope.text, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (scope.day, scope.region, scope.service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def canonical_request(request: Request, signed: Sequence[str]) -> str:
    """Return the text of a request that is signed."""
    path, _, query = request.target.partition("?")
    headers = "".join(f"{name}:{_values(request, name)}\n" for name in signed)
    body = hashlib.sha256(request.body).hexdigest()
    return "\n".join((request.method, quote(path or "/", safe="/-_.~"), _query(query), headers, ";".join(signed), body))


def _query(query: str) -> str:
    """The parameters, sorted, as they were sent: clients encode them before they sign."""
    pairs = sorted(part.partition("=")[::2] for part in query.split("&") if part)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _values(request: Request, name: str) -> str:
    values = [" ".join(value.split()) for each, value in request.headers if each == name]
    return ",".join(values)


def _authorization(header: str) -> _Authorization:
    algorithm, _, rest = header.partition(" ")
    if not header:
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", _FORBIDDEN)
    if algorithm != ALGORITHM:
        raise AwsError(
            "IncompleteSignatureException", f"Unsupported signing algorithm; this endpoint takes {ALGORITHM}."
        )
    parts = dict(_PARTS.findall(rest))
    scope = _SCOPE.fullmatch(parts.get("Credential", ""))
    if scope is None or not parts.get("SignedHeaders") or not parts.get("Signature"):
        raise AwsError(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
        )
    return _Authorization(Scope(*scope.groups()), tuple(parts["SignedHeaders"].lower().split(";")), parts["Signature"])


def _check_covered(request: Request, signed: tuple[str, ...]) -> None:
    """Everything that says what the request does is signed, and the hash that it names is its body's."""
    names = {name for name, _ in request.headers}
    needed = {"x-amz-target", "x-amz-content-sha256"} & names
    if missing := sorted({"host", "x-amz-date", *needed} - set(signed)):
        raise _mismatch(f"These headers must be signed: {', '.join(missing)}.")
    if list(signed) != sorted(set(signed)):
        raise _mismatch("SignedHeaders must be sorted, each name once.")
    stated = request.header("x-amz-content-sha256")
    if stated and not hmac.compare_digest(stated.encode(), hashlib.sha256(request.body).hexdigest().encode()):
        raise _mismatch("The value of x-amz-content-sha256 is not the hash of the body; it has to be signed whole.")


def _check_time(date: str, scope: Scope, now: float) -> None:
    found = _DATE.fullmatch(date)
    if found is None or date[:8] != scope.day:
        raise AwsError(
            "IncompleteSignatureException", "The header 'X-Amz-Date' must have the day of the credential scope."
        )
    signed_at = calendar.timegm((*map(int, found.groups()), 0, 0, 0))
    if signed_at < now - SKEW:
        raise _mismatch(f"Signature expired: {date} is more than {SKEW} seconds old.")
    if signed_at > now + SKEW:
        raise _mismatch(f"Signature not yet current: {date} is more than {SKEW} seconds in the future.")


def _mismatch(message: str) -> AwsError:
    return AwsError("InvalidSignatureException", message, _FORBIDDEN)
