"""A trust bundle holds certificates alone: it reaches every proxy, and whoever may read the registry."""

import pytest

from tsunagu.model import ids
from tsunagu.model.rules.validate import check
from tsunagu.v1 import identities_pb2

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
ONE, OTHER = "a" * 64, "b" * 64


def bundle(*authorities, signs=ONE, domain="tsunagu.local", name="default"):
    found = [identities_pb2.Authority(fingerprint=mark, certificate=pem) for mark, pem in authorities]
    body = identities_pb2.TrustBundle(trust_domain=domain, authorities=found, signs=signs)
    return ids.make("TrustBundle", name, body)


def test_one_and_two_authorities_are_fine():
    assert check(bundle((ONE, PEM)), {}) == []
    assert check(bundle((ONE, PEM), (OTHER, PEM)), {}) == []


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (bundle((ONE, PEM + KEY)), "not one certificate"),
        (bundle((ONE, KEY)), "not one certificate"),
        (bundle((ONE, "")), "not one certificate"),
        (bundle((ONE, PEM), (ONE, PEM)), "there twice"),
        (bundle((OTHER, PEM)), "none of the authorities"),
        (bundle((ONE, PEM), signs=""), "none of the authorities"),
        (bundle(("xyz", PEM), signs="xyz"), "no SHA-256"),
        (bundle((ONE, PEM), domain="Shop"), "no trust domain"),
        (bundle((ONE, PEM), name="My CA"), "is not valid"),
        (bundle((ONE, PEM), *((f"{n:064x}", PEM) for n in range(8))), "at most 8"),
    ],
)
def test_whatever_else_is_refused(obj, words):
    assert any(words in str(one) for one in check(obj, {})), check(obj, {})
