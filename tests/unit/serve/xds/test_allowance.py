"""A client that costs more than its share is read later, and nobody else."""

import pytest

from tsunagu.serve.xds.allowance import Allowance

BURST, SHARE = 0.25, 0.1


def test_a_burst_is_free():
    allowance = Allowance(BURST, SHARE, now=0.0)
    allowance.spend(0.25, now=0.0)

    assert allowance.pause(now=0.0) == 0.0


def test_above_it_the_next_request_waits_until_the_share_has_paid_for_it():
    allowance = Allowance(BURST, SHARE, now=0.0)
    allowance.spend(0.35, now=0.0)

    assert allowance.pause(now=0.0) == pytest.approx(1.0)
    assert allowance.pause(now=0.6) == pytest.approx(0.4)
    assert allowance.pause(now=1.0) == pytest.approx(0.0)


def test_what_is_not_used_is_saved_up_to_the_burst():
    allowance = Allowance(BURST, SHARE, now=0.0)
    allowance.spend(0.25, now=0.0)

    assert not allowance.full(now=2.4)
    assert allowance.full(now=2.5)
    allowance.spend(0.26, now=1000.0)
    assert allowance.pause(now=1000.0) > 0


def test_who_asks_without_end_gets_its_share():
    allowance, now, used = Allowance(BURST, SHARE, now=0.0), 0.0, 0.0
    while now < 100.0:
        now += 0.02  # what a request takes
        used += 0.02
        allowance.spend(0.02, now)
        now += allowance.pause(now)

    assert used == pytest.approx(100.0 * SHARE + BURST, rel=0.05)
