"""Who may call whom, asked of a View: by names that people write, with the mode of TLS, at every port where a call may arrive."""

import pytest

from tests.golden.access import trusted
from tests.golden.traffic import written
from tests.unit.mesh.access.test_verdicts import policy
from tsunagu.mesh.access import callers, questions
from tsunagu.mesh.access.words import Call
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects as o

WEB = "/ns/shop/cluster/default/service/web"


def view_of(*manifests, tls="strict"):
    objects = [
        trusted(),
        *written(f"{{kind: Namespace, name: shop, tls: {tls}}}"),
        *written("{kind: Gateway, name: front, namespace: shop, ports: [{hostPort: 8080, alias: web, port: 80}]}"),
        o.node(),
        o.service("default/orders", "a1"),
        o.revision("default/orders/a1", o.port("orders"), o.port("db", app_protocol="tcp", aliases=[("db", 5432)])),
        o.service("default/next", "b1"),
        o.revision("default/next/b1", o.port("next")),
        o.service("default/web", "c1"),
        o.revision("default/web/c1"),
        o.address("orders", "127.255.0.1"),
        *(obj for text in manifests for obj in written(text)),
    ]
    return View.empty().apply([(ids.kind_of(one), one.meta.name, None, one) for one in objects], 1)[0]


def ask(view, name="orders", port=80, path="/", identity=WEB):
    return questions.ask(view, view.alias("shop", name, port), Call(identity, "GET", path))


# -- callers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "identity"),
    [
        ("web", WEB),
        ("default/web", WEB),
        ("gateway:front", "/ns/shop/gateway/front"),
        ("family:job", "/ns/shop/cluster/default/task/job"),
        ("family:batch/job", "/ns/shop/cluster/batch/task/job"),
        ("host:here", "/ns/shop/host/here"),
        ("host", "/ns/shop/host/n1"),
    ],
)
def test_a_caller_by_the_word_for_it(words, identity):
    view = view_of()
    assert callers.find(view, words).identity(view, "shop") == identity


@pytest.mark.parametrize(
    ("words", "message", "right"),
    [
        ("wb", "no connected service is called 'default/wb'", "default/web"),
        ("gateway:frnt", "there is no gateway 'frnt'", "front"),
    ],
)
def test_nobody_is_called_so(words, message, right):
    with pytest.raises(callers.UnknownCaller, match=message) as caught:
        callers.find(view_of(), words)
    assert right in caught.value.right


# -- answers ----------------------------------------------------------------------------------------------------------


def test_a_refusal_says_what_would_allow_it():
    view = view_of(policy("p", "{from: [{gateway: front}]}"))
    (answer,) = ask(view, path="/items")
    assert not answer.verdict.allowed
    assert answer.port.admission.enforced == ("shop/p",)
    assert answer.remedy == "{from: [{service: web}], requests: [{method: GET, path: /items}]}"
    (answer,) = ask(view, identity="/ns/shop/gateway/front")
    assert (answer.verdict.allowed, answer.verdict.rule, answer.remedy) == (True, "shop/p[0]", "")


def test_where_tls_is_off_every_policy_is_without_effect():
    (answer,) = ask(view_of(policy("p", ""), tls="'off'"))
    assert (answer.port.mode, answer.verdict.allowed) == ("off", True)


def test_where_it_is_permissive_the_verdict_is_that_for_callers_with_tls():
    (answer,) = ask(view_of(policy("p", ""), tls="permissive"))
    assert (answer.port.mode, answer.verdict.allowed) == ("permissive", False)


def test_of_tcp_only_the_caller_counts():
    view = view_of(policy("p", "{from: [{service: web}]}"))
    (answer,) = ask(view, "db", 5432)
    assert (answer.port.port_name, answer.call, answer.verdict.allowed) == ("db", Call(WEB), True)


def test_a_call_that_routes_divide_has_a_verdict_of_each_service():
    split = (
        "{kind: Route, name: shop/split, alias: orders, action: {weightedTargets: [{target: orders}, {target: next}]}}"
    )
    answers = ask(view_of(split, policy("p", "")))
    assert [(one.port.service, one.verdict.allowed) for one in answers] == [
        ("default/next", True),
        ("default/orders", False),
    ]


def test_every_port_is_listed_once():
    found = [(one.service, one.port_name, one.mode) for one in questions.served_ports(view_of())]
    assert found == [
        ("default/next", "next", "strict"),
        ("default/orders", "db", "strict"),
        ("default/orders", "orders", "strict"),
    ]
