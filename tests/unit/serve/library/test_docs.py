"""docs/library.md names all that the library offers, and nothing that it does not."""

import ast
import asyncio
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

import tsunagu
from tsunagu.serve.library import xds_server
from tsunagu.xds import waits

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "library.md").read_text()


def public(cls):
    return [name for name, _ in inspect.getmembers(cls) if not name.startswith("_")]


@pytest.mark.parametrize("name", xds_server.__all__)
def test_everything_public_is_told_of(name):
    assert re.search(rf"\b{name}\b", PAGE)


@pytest.mark.parametrize("name", public(xds_server.XdsServer))
def test_every_method_is_told_of(name):
    assert re.search(rf"\b{name}\b", PAGE)


def test_every_field_of_an_event_is_told_of():
    missing = [
        name
        for name in xds_server.Event._fields
        if f"`{name}`" not in PAGE and name not in ("sent", "subscribed", "refused")
    ]
    assert [name for name in missing if name not in ("type_url", "removed", "own_type")] == []


def test_what_is_imported_in_examples_is_there():
    for names in re.findall(r"from tsunagu import (.+)", PAGE):
        assert [name for name in names.split(", ") if name not in xds_server.__all__] == []


def test_what_it_links_to_is_there():
    for page in ("library.md", "grpc.md"):
        text = (ROOT / "docs" / page).read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (ROOT / "docs" / target).exists(), target
        for path in re.findall(r"`((?:controlplane|tests|examples)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), path


# -- what the page shows works ----------------------------------------------------------------------------------------

FIRST, *OTHERS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PATIENCE = 30.0


async def test_the_snippets_run_one_after_the_other(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    told = {}
    async with asyncio.timeout(PATIENCE):
        for snippet in OTHERS:
            code = compile(snippet, "docs/library.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            waiting = eval(code, told)
            if waiting is not None:
                await waiting
    shown = capsys.readouterr().out
    said = re.findall(r"^ *print\(.*\)  # (.+)$|^# (text:.+)$", "".join(OTHERS), re.MULTILINE)
    for one in filter(None, (word for pair in said for word in pair)):
        *beginnings, _ = re.split(r"\.\.\.", one + "...")
        assert all(part.strip() in shown for part in beginnings), one


def test_the_first_control_plane_serves_and_ends_quietly(tmp_path):
    assert len(FIRST.splitlines()) <= 15
    (tmp_path / "edge.yaml").write_bytes((ROOT / "examples" / "02-own-control-plane" / "edge.yaml").read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code = FIRST.replace("18000", str(port))
    plane = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE
    with socket.socket() as client:
        while client.connect_ex(("127.0.0.1", port)) != 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    plane.send_signal(signal.SIGINT)
    _, errors = plane.communicate(timeout=PATIENCE)
    assert (plane.returncode, errors) == (0, b"")


def test_the_waits_are_those_of_the_code():
    reasons = dict(re.findall(r"^    (\w+): float = .+?  # s; (.+)$", inspect.getsource(waits), re.MULTILINE))
    rows = [
        f"| `{one.name}` | {getattr(tsunagu.Waits(), one.name):g} s | {reasons[one.name]} |"
        for one in fields(tsunagu.Waits)
    ]
    table = "\n".join(["| of `Waits` | default | what waits |", "|---|---|---|", *rows]) + "\n"
    begin, end = "<!-- waits: written by tests/unit/serve/library/test_docs.py -->\n", "<!-- end of waits -->"
    page = ROOT / "docs" / "library.md"
    before, _, rest = page.read_text().partition(begin)
    true = before + begin + table + end + rest.partition(end)[2]
    if os.environ.get("TSUNAGU_REWRITE"):
        page.write_text(true)
    assert page.read_text() == true
