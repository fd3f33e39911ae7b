"""The rules for trust bundles: what stands in one reaches every proxy, and whoever may read the registry.

The one rule: a bundle holds certificates alone. Whatever else stands between their lines, a private key above all, is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tsunagu.model import identities
from tsunagu.model.rules.constraints import issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject

#: The name of a certificate authority, as `--ca NAME=...` gives it.
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_MOST: Final = 8  # certificates of one authority: a rotation has two


def bundle_name(subject: Subject) -> Iterator[Issue]:
    """A bundle is called like its authority, and says of which trust domain it is."""
    if not NAME.fullmatch(subject.name):
        yield issue("name", f"{subject.name!r} is not valid", "lower-case letters, digits and '-', as in default")
    try:
        identities.trust_domain(subject.obj.trust_bundle.trust_domain)
    except identities.BadIdentity as error:
        yield issue("trustDomain", str(error))


def bundle_certificates(subject: Subject) -> Iterator[Issue]:
    """Each authority is one certificate, and the one that signs is among them."""
    body = subject.obj.trust_bundle
    for index, one in enumerate(body.authorities):
        path = f"authorities[{index}]"
        if not _CERTIFICATE.fullmatch(one.certificate):
            yield issue(f"{path}.certificate", "is not one certificate in PEM, and nothing else")
        if not _FINGERPRINT.fullmatch(one.fingerprint):
            yield issue(f"{path}.fingerprint", f"{one.fingerprint!r} is no SHA-256 in hexadecimal digits")
    known = [one.fingerprint for one in body.authorities]
    if len(set(known)) < len(known):
        yield issue("authorities", "an authority is there twice")
    if len(known) > _MOST:
        yield issue("authorities", f"there are {len(known)}; at most {_MOST} are in force at a time")
    if body.signs not in known:
        yield issue("signs", f"{body.signs!r} is none of the authorities")


RULES: Final = (bundle_name, bundle_certificates)
