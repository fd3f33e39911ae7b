"""What holds for the whole suite: a test that shows a conformance case or a pitfall is run, never skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

_COLLECTED = pytest.StashKey[list[pytest.Item]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[_COLLECTED] = list(items)  # before -m and -k take theirs away


@pytest.fixture(scope="session")
def whole_suite(pytestconfig: pytest.Config) -> list[pytest.Item] | None:
    """Every test there is; None when pytest was asked for some of them only."""
    asked = [(pytestconfig.invocation_params.dir / one).resolve() for one in pytestconfig.args]
    left_out = [pytestconfig.getoption(name, None) for name in ("ignore", "ignore_glob", "deselect", "override_ini")]
    return pytestconfig.stash[_COLLECTED] if asked == [Path(__file__).parent] and not any(left_out) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    shows = [str(one) for name in ("case", "pitfall") for mark in item.iter_markers(name) for one in mark.args]
    if report.skipped and shows:
        report.outcome = "failed"
        report.longrepr = f"skipped, but it shows {', '.join(shows)} (docs/conformance.md): {report.longrepr}"
    return report
