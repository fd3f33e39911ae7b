"""What to write so that a call is allowed, read back: it allows that call, and no other caller or request."""

import pytest

from tests.unit.mesh.access.test_verdicts import WEB, admission, policy
from tsunagu.mesh.access.remedies import entry
from tsunagu.mesh.access.words import Call

CALLS = [
    (Call(WEB, "GET", "/items/7?x=1"), "http", "{from: [{service: web}], requests: [{method: GET, path: /items/7}]}"),
    (
        Call("/ns/back/cluster/batch/service/web", "POST", "/"),
        "http2",
        "{from: [{service: batch/web, namespace: back}], requests: [{method: POST, path: /}]}",
    ),
    (
        Call("/ns/shop/cluster/default/task/job", "POST", "/shop.Catalogue/Search"),
        "grpc",
        "{from: [{family: job}], requests: [{serviceName: shop.Catalogue, methodName: Search}]}",
    ),
    (Call("/ns/shop/cluster/b/task/job"), "tcp", "{from: [{family: job, cluster: b}]}"),
    (Call("/ns/shop/gateway/front", "GET", ""), "http", "{from: [{gateway: front}], requests: [{method: GET}]}"),
    (Call("/ns/shop/host/here"), "tcp", "{from: [{hosts: true}]}"),
    (Call(WEB, "GET", "/a: b"), "http", '{from: [{service: web}], requests: [{method: GET, path: "/a: b"}]}'),
]


@pytest.mark.parametrize(("call", "protocol", "text"), CALLS)
def test_the_entry_for_a_call(call, protocol, text):
    assert entry(call, "shop", protocol) == text


@pytest.mark.parametrize(("call", "protocol", "text"), CALLS)
def test_it_allows_that_call_and_no_other_caller(call, protocol, text):
    found = admission(policy("p", text))
    assert found.verdict(call).allowed
    assert not found.verdict(Call("/ns/shop/cluster/default/service/other", call.method, call.path)).allowed
    if protocol != "tcp" and call.path:
        assert not found.verdict(Call(call.identity, call.method, "/else")).allowed
