"""docs/limits.md is the table of limits, and says what the code says. TSUNAGU_REWRITE=1 writes the table anew."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path

from tsunagu import app
from tsunagu.serve.xds.limits import Limits

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "limits.md"
SOURCES = ("controlplane/tsunagu/serve/xds/limits.py", "controlplane/tsunagu/xds/requests/limits.py")
FIELD = re.compile(r"^    (\w+): (?:int|float) = (.+?)  # (.+)$", re.MULTILINE)
SIZES = {"bytes": ((20, "MiB"), (10, "KiB"))}


def shown(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        power, unit = next((power, unit) for power, unit in SIZES["bytes"] if value >= 1 << power)
        return f"{int(value) >> power} {unit}"
    return f"{value:,}"


def table() -> str:
    reasons = {name: reason for path in SOURCES for name, _, reason in FIELD.findall((ROOT / path).read_text())}
    default, mesh = Limits(), app.limits()
    rows = ["| limit | library | mesh | what it bounds, and why so |", "| --- | --- | --- | --- |"]
    for field in fields(Limits):
        value, ours = getattr(default, field.name), getattr(mesh, field.name)
        differs = "by the system" if field.name == "connections" else "" if ours == value else shown(field.name, ours)
        rows.append(f"| `{field.name}` | {shown(field.name, value)} | {differs} | {reasons[field.name]} |")
    return "\n".join(rows)


def test_every_limit_has_its_reason_beside_it():
    found = {name for path in SOURCES for name, _, _ in FIELD.findall((ROOT / path).read_text())}

    assert {field.name for field in fields(Limits)} <= found


def test_the_page_is_the_table_of_the_code():
    text = PAGE.read_text()
    begin, end = "<!-- limits: written by tests/unit/serve/xds/test_limits.py -->\n", "<!-- end of limits -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    true = f"{before}{begin}{table()}\n{end}{after}"
    if os.environ.get("TSUNAGU_REWRITE"):
        PAGE.write_text(true)

    assert PAGE.read_text() == true


def test_the_mesh_leaves_descriptors_to_the_api(monkeypatch):
    for allowed, connections in ((1024, 512), (700, 256), (1 << 20, 10_000)):
        monkeypatch.setattr(app, "raise_descriptors", lambda allowed=allowed: allowed)
        assert app.limits().connections == connections
