"""docs/config-dump.md: what it shows and names is in the config_dump of a real Envoy of the shop."""

import os
import re
from pathlib import Path

import pytest

from tests.e2e import config_dump_page
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "config-dump.md"


@pytest.fixture(scope="module")
def shop():
    with Mesh(ROOT / "examples" / "01-shop" / "shop.yaml") as mesh:
        mesh.wait_steady()
        yield mesh


@pytest.fixture(scope="module")
def dump(shop):
    return shop.envoy("orders", "/config_dump?include_eds").json()


def test_the_page_is_made_of_what_a_real_envoy_has(dump):
    made = config_dump_page.page(dump)
    if os.environ.get("TSUNAGU_REWRITE"):
        PAGE.write_text(made)
    assert PAGE.read_text() == made


def test_the_sections_that_it_names_are_there(dump):
    named = set(re.findall(r"`(\w+ConfigDump)`", PAGE.read_text()))
    there = {one["@type"].rpartition(".")[2] for one in dump["configs"]}
    assert len(named) == 6
    assert named <= there


def test_a_refused_listener_has_an_error_state_and_the_admin_pages_that_it_names_are_there(shop):
    shop.override("shop", "LDS", "broken", b"\n\x06broken")
    words = shop.wait_until(
        lambda: [one["error_state"]["details"] for one in listeners(shop) if "error_state" in one],
        what="an error_state",
    )
    assert "broken" in words[0]
    for path in ("/init_dump", "/clusters"):
        assert shop.envoy("orders", path).status == 200
    assert "health_flags::" in shop.envoy("orders", "/clusters").text


def listeners(mesh):
    sections = mesh.envoy("orders", "/config_dump").json()["configs"]
    return [entry for one in sections if "ListenersConfigDump" in one["@type"] for entry in one["dynamic_listeners"]]
