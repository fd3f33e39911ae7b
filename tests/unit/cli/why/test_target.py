"""What a user writes as the target of a call, as it is called."""

import pytest

from tsunagu.cli.why.target import parse


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("api:80", ""),
        ("api:80/a b", "/a%20b"),
        ("http://api/ü?q=ö&r=1", "/%C3%BC?q=%C3%B6&r=1"),
        ("http://api/a%20b", "/a%20b"),
        ("http://api/a?b=c;d", "/a?b=c;d"),
    ],
)
def test_a_path_is_escaped_where_a_request_cannot_hold_it(text, path):
    assert parse(text).path == path
