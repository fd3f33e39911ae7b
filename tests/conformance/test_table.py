"""Every case and every pitfall has its test, and the page that says so is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import collector, table

HERE = Path(__file__).parent
REWRITE = bool(os.environ.get("TSUNAGU_REWRITE"))


@pytest.fixture(scope="module")
def rows(whole_suite, tmp_path_factory):
    """What pytest collects of the whole suite: in this run, or in a run for it when this one is of some tests only."""
    if whole_suite is not None:
        return collector.rows(whole_suite)
    path = tmp_path_factory.mktemp("collected") / "rows.json"
    done = subprocess.run(
        [sys.executable, HERE / "collector.py", path],
        check=False,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(path.read_text())


def test_the_table_is_whole():
    cases = table.cases()
    numbers = {str(number) for number in range(1, 165)} | {"142a", "142b", "142c"}

    assert {case.number for case in cases} == numbers
    assert len(cases) == len(numbers)
    assert {case.area for case in cases} == set(table.TITLES)
    assert all(case.variant in table.VARIANTS and case.needs in table.NEEDS for case in cases)
    assert list(table.pitfalls()) == [f"P{number}" for number in range(1, 38)]


def test_every_case_has_its_test_in_each_variant(rows):
    missing = [
        f"{case.number} ({variant}): {case.says}"
        for case in table.cases()
        if not case.optional
        for variant in case.variants
        if not table.shown(rows, "case", case.number, variant)
    ]

    assert missing == []


def test_a_case_that_needs_a_real_client_has_one(rows):
    missing = [
        case.number
        for case in table.cases()
        if case.needs in ("envoy", "grpc") and not case.optional
        if not any("/e2e/" in row["path"] for row in table.shown(rows, "case", case.number))
    ]

    assert missing == []


def test_every_pitfall_has_its_test(rows):
    assert [name for name in table.pitfalls() if not table.shown(rows, "pitfall", name)] == []


def test_no_test_shows_what_is_not_in_the_table(rows):
    known = {case.number for case in table.cases()} | set(table.pitfalls())

    assert {one for row in rows for one in (*row["case"], *row["pitfall"])} <= known


def test_none_is_skipped(rows):
    assert [row["test"] for row in rows if row["skipped"]] == []


def test_the_page_is_true(rows):
    text = table.document(rows)
    if REWRITE:
        table.DOCUMENT.write_text(text)

    assert table.DOCUMENT.read_text() == text
