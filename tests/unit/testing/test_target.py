import pytest

from tsunagu.testing.target import Target


def test_a_url_says_where_to_connect_and_what_to_ask_for():
    target = Target.parse("http://orders:81/items?a=b")
    assert target.address == ("orders", 81)
    assert target.request("POST", b"x", {"a": "b"}).target == "/items?a=b"
    assert target.request().host == "orders:81"


def test_another_address_leaves_the_host_as_it_is():
    target = Target.parse("http://orders", ("127.0.0.1", 8080))
    assert target.address == ("127.0.0.1", 8080)
    assert target.request().target == "/"
    assert target.request().host == "orders"


@pytest.mark.parametrize("url", ["orders", "https://orders", "http://", "ftp://x"])
def test_what_is_no_url(url):
    with pytest.raises(ValueError, match="is no URL"):
        Target.parse(url)
