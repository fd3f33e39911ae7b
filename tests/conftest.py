"""What holds for the whole suite: a test that shows a conformance case or a pitfall is run, never skipped."""

from __future__ import annotations

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    shows = [str(one) for name in ("case", "pitfall") for mark in item.iter_markers(name) for one in mark.args]
    if report.skipped and shows:
        report.outcome = "failed"
        report.longrepr = f"skipped, but it shows {', '.join(shows)} (docs/conformance.md): {report.longrepr}"
    return report
