"""Delays grow, end at the cap, and jitter only ever takes away its share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.kit.backoff import Backoff


@pytest.mark.parametrize(
    ("failures", "delay"), [(-1, 0.0), (0, 0.0), (1, 1.0), (2, 2.0), (3, 4.0), (10, 512.0), (11, 900.0), (10**6, 900.0)]
)
def test_a_delay_doubles_up_to_the_cap(failures, delay):
    assert Backoff(base=1, cap=900).delay(failures) == delay


@given(st.integers(0, 50), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_jitter_takes_away_no_more_than_its_share(failures, jitter, spread):
    whole = Backoff(base=0.5, cap=60).delay(failures)
    delay = Backoff(base=0.5, cap=60, spread=spread).delay(failures, jitter)
    assert whole * (1 - spread) <= delay <= whole


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": 0, "cap": 1},
        {"base": 2, "cap": 1},
        {"base": 1, "cap": 2, "factor": 0.5},
        {"base": 1, "cap": 2, "spread": 2},
    ],
)
def test_a_schedule_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="is no schedule"):
        Backoff(**wrong)
