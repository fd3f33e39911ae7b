"""Lessons 5 and 6, led by themselves: real Envoys do what they say."""

import pytest

from tests.e2e.lesson_runs import holds
from tsunagu.lessons import bench_stage
from tsunagu.lessons.course import load
from tsunagu.lessons.play import play
from tsunagu.lessons.terminal import Narrator

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.mark.slow("a lesson goes at the pace of people: it lets time go by, and counts requests")
@pytest.mark.parametrize("number", [5, 6])
def test_all_that_a_lesson_says_is_so(number):
    holds(number)


def test_a_lesson_fails_when_an_envoy_does_otherwise(monkeypatch):
    """Both Envoys of lesson 6 speak delta: what it says of SotW is not so, and it says what was."""
    envoy = bench_stage.BenchStage.envoy
    monkeypatch.setattr(bench_stage.BenchStage, "envoy", lambda stage, name, _: envoy(stage, name, "DELTA_GRPC"))
    played = play(load(6), Narrator(6))
    wrong = "\n".join(played.wrong)
    assert "how many clusters is each of the two sent?': a happened, not b" in wrong
    assert "'The response for `sotw` has more than five times the bytes.' is not so" in wrong
    assert "sotw                   -> CDS is sent  s21" in wrong
