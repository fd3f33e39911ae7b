"""Zones as they are written on command lines and in TSUNAGU_ZONE."""

import pytest

from tsunagu.model.zones import parse


@pytest.mark.parametrize(
    ("text", "zones"),
    [("", ()), (" ", ()), ("a", ("a",)), ("a, b,c", ("a", "b", "c")), ("ap-northeast-1a", ("ap-northeast-1a",))],
)
def test_zones_keep_their_order(text, zones):
    assert parse(text) == zones


@pytest.mark.parametrize(
    ("text", "words"),
    [("A", "'A' is not a zone"), ("a,,b", "'' is not a zone"), ("a,a", "names a zone twice"), ("a/b", "is not a zone")],
)
def test_what_is_none_is_said(text, words):
    with pytest.raises(ValueError, match=words):
        parse(text)
