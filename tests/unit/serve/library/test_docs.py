"""docs/library.md names all that the library offers, and nothing that it does not."""

import inspect
import re
from pathlib import Path

import pytest

from tsunagu.serve.library import xds_server

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
    assert [name for name in missing if name not in ("type_url", "removed")] == []


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
