"""A test that takes long says why, or is named at the end of the run."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import longest_first, unexplained


def report(nodeid, seconds, *, when="call", why=False):
    return SimpleNamespace(nodeid=nodeid, duration=seconds, when=when, says_why_slow=why)


def test_those_that_do_not_say_why_are_named_the_longest_first():
    reports = [report("a", 11.0), report("quick", 9.9), report("b", 70.4), report("marked", 60.0, why=True)]
    assert unexplained(reports) == ["70 s  b", "11 s  a"]


def test_fixtures_may_take_their_time():
    assert unexplained([report("a", 30.0, when="setup")]) == []


def test_the_file_that_takes_longest_begins_first():
    def item(path, *marks):
        return SimpleNamespace(path=path, get_closest_marker=lambda _: next(iter(marks), None))

    waits, slow = pytest.mark.slow("why", seconds=70).mark, pytest.mark.slow("why").mark
    items = [item("quick"), item("a", slow), *[item("many")] * 20, item("b", waits), item("a", slow)]
    longest_first(items)
    assert list(dict.fromkeys(one.path for one in items)) == ["b", "a", "many", "quick"]


def test_make_e2e_looks_where_the_tests_are(whole_suite):
    """It looks nowhere else, and `make check` leaves them out."""
    if whole_suite is None:
        pytest.skip("only some tests were asked for")
    tests = Path(__file__).parents[1]
    found = {item.path.relative_to(tests).parts[0] for item in whole_suite if item.get_closest_marker("e2e")}
    assert found == {"e2e", "contract"}
