"""docs/appmesh.md tells what is not converted, and why. `TSUNAGU_REWRITE=1` writes the table."""

import os
from pathlib import Path

from tsunagu.appmesh.classes import CLASSES, DIFFERS, NO_MEANING, REFUSED

PAGE = Path(__file__).parents[3] / "docs" / "appmesh.md"
HEAD = "| member | | why |\n|---|---|---|\n"


def table():
    order = (REFUSED, DIFFERS, NO_MEANING)
    rows = sorted(CLASSES.items(), key=lambda row: (order.index(row[1].verdict), row[0].casefold()))
    return "".join(f"| `{name}` | {one.verdict} | {one.why} |\n" for name, one in rows)


def test_the_page_lists_every_member_that_is_not_converted():
    before = PAGE.read_text().partition(HEAD)[0]
    if os.environ.get("TSUNAGU_REWRITE"):
        PAGE.write_text(before + HEAD + table())
    assert PAGE.read_text() == before + HEAD + table()
