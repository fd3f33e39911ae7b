"""Looks at certificates in PEM before they are kept, so that no proxy refuses a whole envoy cluster because of a cut file.

The one rule: it sees the form alone (RFC 7468). Who signed what, and until when, is for those who verify.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s*(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATE: Final = "CERTIFICATE"
_SEQUENCE: Final = 0x30  # how each certificate begins in DER


def fault(text: str) -> str:
    """Say why `text` is no list of certificates in PEM; empty if it is one."""
    blocks = _BLOCK.findall(text)
    if any("PRIVATE KEY" in label for label, _ in blocks):
        return "holds a private key; only certificates belong here"
    certificates = [body for label, body in blocks if label == _CERTIFICATE]
    if not certificates:
        return "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
    for number, body in enumerate(certificates, 1):
        try:
            der = base64.b64decode("".join(body.split()), validate=True)
        except binascii.Error:
            der = b""
        if not der or der[0] != _SEQUENCE:
            return f"certificate {number} in it is damaged"
    return ""
