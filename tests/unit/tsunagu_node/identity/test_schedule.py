"""When a certificate is asked for: at two thirds of its life, at once for a new authority, never for nobody."""

import pytest

from tsunagu.v1 import identities_pb2
from tsunagu_node.identity.schedule import Trusted, due_at, is_good, trusted

MADE, LIFE = 1_000_000, 3600


def held(issuer="a", *, life=LIFE):
    identity = identities_pb2.Identity(id="spiffe://x/y", authority="default", issuer=issuer)
    identity.not_before.FromSeconds(MADE - 60)
    identity.issued_at.FromSeconds(MADE)
    identity.not_after.FromSeconds(MADE + life)
    return identity


SAME = Trusted({"default": ("a", 0.0)}, {"shop"})
ROTATED = Trusted({"default": ("b", MADE + 10.0)}, {"shop"})


def test_who_has_none_asks_at_once():
    assert due_at(None, SAME, 5.0, 0.7) == 5.0


@pytest.mark.parametrize(("jitter", "part"), [(0.0, 2 / 3), (0.5, 2 / 3 - 0.05), (0.999, 2 / 3 - 0.0999)])
def test_it_is_renewed_at_two_thirds_of_its_life_a_little_earlier_for_each(jitter, part):
    assert due_at(held(), SAME, MADE + 1.0, jitter) == pytest.approx(MADE + LIFE * part)


def test_a_short_life_does_not_count_the_minute_for_clocks_that_are_behind():
    assert due_at(held(life=9), SAME, MADE + 1.0, 0.0) == pytest.approx(MADE + 6)


@pytest.mark.parametrize(("jitter", "later"), [(0.0, 0.0), (0.5, 1.0), (0.9, 1.8)])
def test_another_authority_that_signs_is_asked_within_two_seconds(jitter, later):
    for now in (MADE + 10.0, MADE + 11.5):  # the moment does not move on while the task waits for it
        assert due_at(held(), ROTATED, now, jitter) == pytest.approx(MADE + 10 + later)


def test_an_authority_that_is_gone_from_the_registry_changes_nothing():
    assert due_at(held(), Trusted({}, {"shop"}), MADE + 1.0, 0.0) == pytest.approx(MADE + LIFE * 2 / 3)


def test_one_that_has_expired_is_replaced_at_once():
    assert due_at(held(), SAME, MADE + LIFE + 7.0, 0.5) == MADE + LIFE + 7.0


@pytest.mark.parametrize(("now", "good"), [(MADE - 61, False), (MADE - 60, True), (MADE, True), (MADE + LIFE, False)])
def test_a_certificate_is_good_from_before_it_was_made_until_its_end(now, good):
    assert is_good(held(), now) is good
    assert not is_good(None, now)


def test_the_default_bundle_says_which_namespaces_have_identities():
    bundles = {
        "default": identities_pb2.TrustBundle(signs="a", namespaces=["lab", "shop"], trust_domain="acme.example"),
        "audit": identities_pb2.TrustBundle(signs="b", namespaces=["other"], trust_domain="acme.example"),
    }
    signs = {"default": ("a", 0.0), "audit": ("b", 0.0)}
    assert trusted(bundles) == Trusted(signs, frozenset({"lab", "shop"}), "", "acme.example")
    assert trusted({}) == Trusted()


def test_what_is_trusted_is_all_that_is_in_force_of_every_authority():
    bundles = {
        "default": identities_pb2.TrustBundle(authorities=[{"certificate": "OLD\n"}, {"certificate": "NEW\n"}]),
        "audit": identities_pb2.TrustBundle(authorities=[{"certificate": "AUDIT\n"}, {"certificate": "NEW\n"}]),
    }
    assert trusted(bundles).certificates == "AUDIT\nNEW\nOLD\n"
