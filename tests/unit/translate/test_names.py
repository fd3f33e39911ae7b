"""Names split back into the words that they were made of."""

import pytest

from tsunagu.translate import names

MINTED = [
    (names.service_cluster("shop", "orders"), "svc/shop/orders", "orders in shop"),
    (names.alias_listener("shop", "orders.shop", 80), "alias/shop/orders.shop:80", "orders.shop:80 in shop"),
    (names.grpc_route("shop", "orders", 80), "grpc/shop/orders:80", "orders:80 in shop for gRPC clients"),
    (names.ingress_listener("c/orders/a1", "web"), "in/c/orders/a1/web", "ingress web of c/orders (a1)"),
    (names.app_cluster("c/orders/a1", "web"), "app/c/orders/a1/web", "app web of c/orders (a1)"),
    (names.CAPTURE, "capture", "capture"),
    (names.BLACKHOLE, "blackhole", "blackhole"),
]


@pytest.mark.parametrize(("name", "text", "display"), MINTED, ids=lambda one: one)
def test_a_name_is_a_path_of_words_that_reads_back(name, text, display):
    assert name == text
    words = names.parse(name)
    assert words is not None
    assert str(words) == display


def test_the_words_of_an_alias():
    words = names.parse("alias/shop/orders.shop:80")
    assert words == names.ParsedName("alias", namespace="shop", dns_name="orders.shop", port=80)


@pytest.mark.parametrize(
    "name", ["", "xds", "orders:80", "svc/shop", "alias/shop/orders", "alias/shop/orders:x", "in/a/b"]
)
def test_a_foreign_name_has_no_words(name):
    assert names.parse(name) is None


def test_stat_prefixes():
    assert names.ingress_stat_prefix("web") == "ingress.web"
    assert names.egress_stat_prefix("orders", 80) == "egress.orders_80"
