"""A rotation, phase by phase: no authority signs before all trust it, and none goes before its last certificate."""

import pytest

from tsunagu.ca import rotation
from tsunagu.ca.rotation import Facts
from tsunagu.v1 import identities_pb2

OLD, NEW, NEWER = (identities_pb2.Authority(fingerprint=mark * 64, certificate=f"{mark}\n") for mark in ("a", "b", "c"))


def facts(wanted=NEW, now=100.0, **more):
    return Facts(now, "tsunagu.local", wanted, "embedded", ("shop",), **more)


def steady():
    return rotation.begin(facts(OLD, 0.0))


def after(bundle, *steps):
    for one in steps:
        bundle = rotation.advance(bundle, one)
    return bundle


def told(bundle):
    return bundle.phase, [one.certificate.strip() for one in bundle.authorities], bundle.signs[0]


TRUSTING = facts()
ACCEPTED = facts(lacking=())
REISSUED = facts(holders={NEW.fingerprint: ["default/orders-1"]})
PAUSED = facts(now=100.0 + rotation.PAUSE, holders={NEW.fingerprint: ["default/orders-1"]})


def test_a_bundle_begins_with_one_authority():
    bundle = steady()
    assert told(bundle) == ("STEADY", ["a"], "a")
    assert list(bundle.namespaces) == ["shop"]
    assert rotation.advance(bundle, facts(OLD)) == bundle


@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        ([TRUSTING], ("TRUSTING", ["a", "b"], "a")),
        ([TRUSTING, facts(lacking=["default/orders-1: not connected"])], ("TRUSTING", ["a", "b"], "a")),
        ([TRUSTING, ACCEPTED], ("REISSUING", ["a", "b"], "b")),
        ([TRUSTING, ACCEPTED, facts(holders={OLD.fingerprint: ["x"]})], ("REISSUING", ["a", "b"], "b")),
        ([TRUSTING, ACCEPTED, facts(holders={"": ["x"]})], ("REISSUING", ["a", "b"], "b")),
        ([TRUSTING, ACCEPTED, REISSUED], ("RETIRING", ["a", "b"], "b")),
        ([TRUSTING, ACCEPTED, REISSUED, REISSUED], ("RETIRING", ["a", "b"], "b")),
        ([TRUSTING, ACCEPTED, REISSUED, facts(holders={OLD.fingerprint: ["x"]})], ("REISSUING", ["a", "b"], "b")),
        ([TRUSTING, ACCEPTED, REISSUED, PAUSED], ("STEADY", ["b"], "b")),
    ],
)
def test_old_both_new(steps, seen):
    assert told(after(steady(), *steps)) == seen


def test_who_does_not_know_yet_whether_proxies_accepted_waits():
    bundle = after(steady(), TRUSTING)
    assert rotation.advance(bundle, facts(lacking=None)) == bundle


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([TRUSTING, facts(lacking=["web: not connected"])], "1 proxy (web: not connected) to accept"),
        ([TRUSTING, facts(lacking=list("pqrst"))], "5 proxies (p, q, r and 2 more) to accept"),
        ([TRUSTING, ACCEPTED, facts(holders={OLD.fingerprint: ["x"], "": ["y"]})], "2 tasks (x, y) to have"),
        ([TRUSTING, ACCEPTED, facts(holders={OLD.fingerprint: ["node n1"]})], "1 node (n1) to have"),
        (
            [TRUSTING, ACCEPTED, facts(holders={OLD.fingerprint: ["node n1", "x"]})],
            "1 task (x) and 1 node (n1) to have",
        ),
        ([TRUSTING, ACCEPTED, REISSUED, PAUSED], ""),
    ],
)
def test_everybody_reads_what_a_rotation_waits_for(steps, words):
    assert words in after(steady(), *steps).waits_for


def test_another_authority_in_the_middle_begins_anew_and_keeps_all_that_may_be_in_use():
    bundle = after(steady(), TRUSTING, ACCEPTED, facts(NEWER))
    assert told(bundle) == ("TRUSTING", ["a", "b", "c"], "b")
    bundle = after(bundle, facts(NEWER, lacking=()), facts(NEWER, holders={NEWER.fingerprint: ["x"]}))
    bundle = after(bundle, facts(NEWER, now=200.0, holders={NEWER.fingerprint: ["x"]}))
    assert told(bundle) == ("STEADY", ["c"], "c")


def test_back_to_the_old_one_in_the_middle():
    bundle = after(steady(), TRUSTING, facts(OLD))
    assert told(bundle) == ("TRUSTING", ["b", "a"], "a")
    bundle = after(bundle, facts(OLD, lacking=()), facts(OLD), facts(OLD, now=200.0))
    assert told(bundle) == ("STEADY", ["a"], "a")


def test_a_wish_counts_once():
    wished = steady()
    wished.rotations_wanted = 1
    assert after(wished, TRUSTING).rotations_begun == 1
