"""Rules in words: what they match, where a request goes, how it is tried, and who says so."""

import pytest

from tsunagu.cli.display.traffic_rules import Line, done, line, matched, tried
from tsunagu.mesh.traffic.model import (
    CONNECT_RETRY,
    Answer,
    Condition,
    Destination,
    Fault,
    Forward,
    Limits,
    Match,
    Mirror,
    Redirect,
    Retry,
    Rule,
    Weighted,
)

CART = Weighted(Destination("cart"), 3)
NEXT = Weighted(Destination("cart", "default/cart/b2"), 1)
SETTLED = {"limits": Limits(15_000, 300_000), "retry": CONNECT_RETRY}


@pytest.mark.parametrize(
    ("match", "words"),
    [
        (Match(), "everything"),
        (Match(path="/a/"), "/a/*"),
        (Match(path_kind="exact", path="/a", method="GET"), "GET, /a"),
        (Match(path_kind="regex", path="/[0-9]+"), "~ /[0-9]+"),
        (
            Match(headers=(Condition("x-a"), Condition("x-b", "exact", "1", invert=True))),
            "header x-a, header not x-b=1",
        ),
        (Match(headers=(Condition("x-n", "range", numbers=(1, 5)),)), "header x-n in 1..4"),
        (Match(query=(Condition("q", "prefix", "a"),)), "?q=a*"),
    ],
)
def test_what_is_matched(match, words):
    assert matched(match) == words


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Forward((CART,)), "cart"),
        (Forward((CART, NEXT)), "75 % cart, 25 % cart (b2)"),
        (Forward((CART,), mirror=Mirror(Destination("shadow"), 10)), "cart, 10 % copied to shadow"),
        (Forward(()), "answered with 503: no destination is there"),
        (Redirect(scheme="https", host="a.test", prefix="/new", status=308), "308, elsewhere: https://a.test/new*"),
        (Answer(403), "answered with 403"),
    ],
)
def test_what_becomes_of_a_request(action, words):
    assert done(Rule(action)) == words


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (SETTLED, "15 s, 2 retries"),
        ({"limits": Limits(0, 0), "retry": Retry(0)}, "no limit, no retry"),
        ({**SETTLED, "retry": Retry(1, only_idempotent=True)}, "15 s, 1 retries, idempotent alone"),
        (
            {**SETTLED, "fault": Fault(10, 50, 0.5, 503)},
            "15 s, 2 retries, 10 % delayed by 50 ms, 0.5 % aborted with 503",
        ),
    ],
)
def test_how_it_is_tried(members, words):
    assert tried(Rule(Forward((CART,)), **members)) == words


def test_who_says_so():
    sources = {"shop/a": "shop.yaml:12"}
    rules = [Rule(Answer(200), name=name) for name in ("shop/a", "shop/by-hand", "test/default/cart", "")]
    assert [line("cart:80", rule, sources).source for rule in rules] == [
        "shop.yaml:12",
        "-",
        "the deployment of default/cart",
        "Service Connect",
    ]
    assert line("gateway front", rules[0], sources, hosts=("a.test", "b.test")) == Line(
        "gateway front", "shop/a", "a.test or b.test", "answered with 200", "-", "shop.yaml:12"
    )
