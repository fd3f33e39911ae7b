"""Lessons 7 and 8, led by themselves: real Envoys do what they say."""

import pytest

from tests.e2e.lesson_runs import holds

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.mark.slow("a lesson goes at the pace of people: it lets time go by, and counts requests")
@pytest.mark.parametrize("number", [7, 8])
def test_all_that_a_lesson_says_is_so(number):
    holds(number)
