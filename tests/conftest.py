"""Rules for the whole suite.

A test that shows a conformance case or a pitfall is run, never skipped. A test whose call takes over ten seconds says why
by `slow("why")`; those that do not are listed at the end of a run. They do not fail: time is measured, never asserted.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SLOW_SECONDS = 10.0

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in the background of a shell; programs that tests start inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A property fails by what it finds, not by a machine that is busy. Where CI is set Hypothesis itself tries the same examples each
# time, so that a run is not red by chance; elsewhere it goes on looking.
settings.register_profile(
    "unhurried", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("unhurried")
_COLLECTED = pytest.StashKey[list[pytest.Item]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[_COLLECTED] = list(items)  # before -m and -k take theirs away
    longest_first(items)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort files by what they take, so that no long one begins when the others are through. A slow test takes the `seconds` of its
    mark, or 15; any other one.
    """
    seconds: Counter[Path] = Counter()
    for item in items:
        mark = item.get_closest_marker("slow")
        seconds[item.path] += int(mark.kwargs.get("seconds", 15)) if mark else 1
    items.sort(key=lambda item: -seconds[item.path])


@pytest.fixture(scope="session")
def whole_suite(pytestconfig: pytest.Config) -> list[pytest.Item] | None:
    """Every test there is; None when pytest was asked for some of them only."""
    asked = [(pytestconfig.invocation_params.dir / one).resolve() for one in pytestconfig.args]
    left_out = [pytestconfig.getoption(name, None) for name in ("ignore", "ignore_glob", "deselect")]
    # pytest 9 notes --strict-markers and --strict-config of pyproject.toml there.
    overridden = [one for one in pytestconfig.getoption("override_ini", None) or () if not one.startswith("strict_")]
    left_out.append(overridden)
    return pytestconfig.stash[_COLLECTED] if asked == [Path(__file__).parent] and not any(left_out) else None


@pytest.fixture(scope="session")
def engine() -> Iterator[object]:
    """A Docker engine (`tests.engine.engine.Engine`). Without one a test is skipped, and fails where CI is set."""
    from tests.engine.engine import Unavailable, running

    with ExitStack() as held:
        try:
            found = held.enter_context(running())
        except Unavailable as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Docker engine: {error}")
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    shows = [str(one) for name in ("case", "pitfall") for mark in item.iter_markers(name) for one in mark.args]
    if report.skipped and shows:
        report.outcome = "failed"
        report.longrepr = f"skipped, but it shows {', '.join(shows)} (docs/conformance.md): {report.longrepr}"
    report.says_why_slow = item.get_closest_marker("slow") is not None
    return report


def unexplained(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Lines about the tests that took long and do not say why, the longest first."""
    slow = [one for one in reports if one.when == "call" and one.duration > SLOW_SECONDS and not one.says_why_slow]
    return [f"{one.duration:.0f} s  {one.nodeid}" for one in sorted(slow, key=lambda one: -one.duration)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    stats = (terminalreporter.stats.get(outcome, []) for outcome in ("passed", "failed"))
    if lines := unexplained(report for reports in stats for report in reports):
        terminalreporter.section(f'over {SLOW_SECONDS:.0f} s without slow("why")')
        terminalreporter.write_line("\n".join(lines))
