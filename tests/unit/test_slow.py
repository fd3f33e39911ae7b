"""A test that takes long says why, or is named at the end of the run."""

from types import SimpleNamespace

from tests.conftest import unexplained


def report(nodeid, seconds, *, when="call", why=False):
    return SimpleNamespace(nodeid=nodeid, duration=seconds, when=when, says_why_slow=why)


def test_those_that_do_not_say_why_are_named_the_longest_first():
    reports = [report("a", 11.0), report("quick", 9.9), report("b", 70.4), report("marked", 60.0, why=True)]
    assert unexplained(reports) == ["70 s  b", "11 s  a"]


def test_fixtures_may_take_their_time():
    assert unexplained([report("a", 30.0, when="setup")]) == []
