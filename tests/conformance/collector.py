"""Which tests say that they show a conformance case or a pitfall: `python collector.py FILE` writes them as JSON.

Rule: this asks pytest itself, of the whole suite, so that a test that is not collected does not count.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VARIANTS = {"sotw": "S", "GRPC": "S", "SOTW": "S", "delta": "D", "DELTA_GRPC": "D", "DELTA": "D", "S": "S", "D": "D"}


class Collector:
    """A pytest plugin that keeps what the markers say."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.rows = rows(items)


def rows(items: list[pytest.Item]) -> list[dict[str, Any]]:
    """What the tests show, of those that show something."""
    return [row for item in items if (row := describe(item))]


def describe(item: pytest.Item) -> dict[str, Any] | None:
    """What a test shows, or None. `variants`: SD where a test does not say, for it is about neither or both."""
    shows = {name: sorted({str(one) for mark in item.iter_markers(name) for one in mark.args}) for name in _MARKS}
    if not any(shows.values()):
        return None
    path = item.path.relative_to(ROOT).as_posix()
    skipped = any(True for _ in item.iter_markers("skip"))
    source = next((mark.args[0] for mark in item.iter_markers("shown_in")), path)
    return {"test": item.nodeid, "path": source, "skipped": skipped, "variants": _variants(item), **shows}


_MARKS = ("case", "pitfall")


def _variants(item: pytest.Item) -> str:
    said = [str(one) for mark in item.iter_markers("variant") for one in mark.args]
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    said += [one if isinstance(one, str) else str(getattr(one, "name", "")) for one in params]
    found = {VARIANTS[one] for one in said if one in VARIANTS}
    return "".join(sorted(found, reverse=True)) or "SD"


def main() -> int:
    """Collect the suite without running it."""
    collector = Collector()
    code = pytest.main(["--collect-only", "-qq", "--rootdir", str(ROOT), str(ROOT / "tests")], [collector])
    Path(sys.argv[1]).write_text(json.dumps(collector.rows))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
