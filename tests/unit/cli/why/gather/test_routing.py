"""Which route takes a call of which only host, path and method are known, and where others like it go."""

import pytest

from tsunagu.cli.why.gather.routing import take

METHOD = {"name": ":method", "string_match": {"exact": "POST"}}
SAFE = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
BETA = {"name": "x-beta", "present_match": True}


def config(*routes):
    return {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}]}


def route(cluster, prefix="/", **match):
    return {"match": {"prefix": prefix, **match}, "route": {"cluster": cluster}}


@pytest.mark.parametrize(
    ("before", "method", "cluster", "passed"),
    [
        (route("posts", headers=[METHOD]), "GET", "api", ()),
        (route("posts", headers=[METHOD]), "POST", "posts", ()),
        (route("reads", headers=[SAFE]), "GET", "reads", ()),
        (route("beta", headers=[BETA]), "GET", "api", ("beta",)),
        (route("beta", headers=[METHOD, BETA]), "GET", "api", ()),
        (route("beta", headers=[METHOD, BETA]), "POST", "api", ("beta",)),
        (route("beta", query_parameters=[{"name": "beta"}]), "GET", "api", ("beta",)),
        (route("beta", "/elsewhere", headers=[BETA]), "GET", "api", ()),
    ],
)
def test_a_route_that_looks_at_more_than_is_known_is_told_of(before, method, cluster, passed):
    taken = take(config(before, route("api")), "api", "/v1", method)
    assert taken is not None
    assert (taken.clusters, taken.passed) == ((cluster,), passed)


def test_a_fault_delays():
    fault = {"envoy.filters.http.fault": {"delay": {"fixed_delay": "1.500s"}}}
    taken = take(config({**route("api"), "typed_per_filter_config": fault}), "api", "/")
    assert taken is not None
    assert taken.delay == 1.5


def test_a_route_that_a_user_made_is_called_by_its_name():
    taken = take(config({**route("api"), "name": "shop/beta"}), "api", "/")
    assert taken is not None
    assert taken.matched == "all, Route shop/beta, prefix /"
