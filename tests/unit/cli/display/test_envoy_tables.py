"""The tables of an Envoy, out of what its admin interface answers; a real one is asked in tests/e2e/test_xds_tools.py."""

from tsunagu.cli.display.envoy_tables import address_of, clusters, endpoints, listeners, routes
from tsunagu.cli.output import Cell

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
KINDS = "type.googleapis.com/envoy.admin.v3."


def text(rows):
    return [[cell.text if isinstance(cell, Cell) else cell for cell in row] for row in rows]


def at(port, host="10.88.0.1"):
    return {"socket_address": {"address": host, "port_value": port}}


def chain(kind, config, **match):
    return {"filter_chain_match": match, "filters": [{"name": "f", "typed_config": {"@type": kind, **config}}]}


def dump(name, **section):
    return {"configs": [{"@type": KINDS + "BootstrapConfigDump"}, {"@type": KINDS + name, **section}]}


def test_addresses_of_all_kinds():
    assert address_of(at(80)) == "10.88.0.1:80"
    assert address_of(at(80, "::1")) == "[::1]:80"
    assert address_of({"pipe": {"path": "/run/x.sock"}}) == "/run/x.sock"
    assert address_of({}) == ":0"


def test_a_listener_is_a_row_for_each_way_through_it():
    http = chain(HCM, {"rds": {"route_config_name": "web"}}, destination_port=80, server_names=["a.b"])
    plain = chain(TCP, {"cluster": "db"}, prefix_ranges=[{"address_prefix": "10.0.0.0", "prefix_len": 8}])
    weighted = {"weighted_clusters": {"clusters": [{"name": "a", "weight": 9}, {"name": "b", "weight": 1}]}}
    shown = dump(
        "ListenersConfigDump",
        static_listeners=[{"listener": {"name": "boot", "address": at(1), "filter_chains": [chain("x/y.Z", {})]}}],
        dynamic_listeners=[
            {
                "name": "out",
                "active_state": {
                    "listener": {
                        "name": "out", "address": at(80), "bind_to_port": False, "filter_chains": [http, plain],
                        "default_filter_chain": chain(TCP, weighted),
                    }
                },
                "draining_state": {"listener": {"name": "out", "address": at(79)}},
            },
            {
                "name": "in",
                "warming_state": {
                    "listener": {"name": "in", "filter_chains": [chain(HCM, {"route_config": {"name": "own"}})]}
                },
            },
            {"name": "refused", "error_state": {"details": "no"}},
        ],
    )  # fmt: skip
    assert text(listeners(shown)) == [
        ["boot", "10.88.0.1:1", "active", "ALL", "filter f"],
        ["in", ":0", "warming", "ALL", "its own route own"],
        ["out", "10.88.0.1:80 (not bound)", "active", "port 80; SNI a.b", "route web"],
        ["out", "10.88.0.1:80 (not bound)", "active", "10.0.0.0/8", "cluster db"],
        ["out", "10.88.0.1:80 (not bound)", "active", "ALL", "clusters a 9, b 1"],
        ["out", "10.88.0.1:79", "draining", "ALL", "nowhere"],
    ]


def test_a_route_says_what_it_matches_and_where_it_leads():
    found = [
        {"match": {"prefix": "/"}, "route": {"cluster": "web", "timeout": "2s", "retry_policy": {"num_retries": 2}}},
        {"match": {"path": "/x", "headers": [{"name": "h"}]}, "redirect": {}},
        {"match": {"path_separated_prefix": "/y"}, "direct_response": {"status": 404}},
        {"match": {"safe_regex": {"regex": "z+"}}, "route": {"cluster_header": "to"}},
        {},
    ]
    host = {"name": "all", "domains": ["a", "b"], "routes": found}
    shown = dump(
        "RoutesConfigDump",
        dynamic_route_configs=[{"route_config": {"name": "web", "virtual_hosts": [host]}}],
        static_route_configs=[{"route_config": {"name": "own", "virtual_hosts": [{"name": "none"}]}}],
    )
    assert text(routes(shown)) == [
        ["own", "none", "", "nothing", "nowhere", "-", "-"],
        ["web", "all", "a, b", "/*", "cluster web", "2s", "2"],
        ["web", "all", "a, b", "/x h=...", "redirect", "-", "-"],
        ["web", "all", "a, b", "/y/*", "status 404", "-", "-"],
        ["web", "all", "a, b", "~z+", "the cluster that header to names", "15s", "-"],
        ["web", "all", "a, b", "nothing", "nowhere", "-", "-"],
    ]


LIVE = {
    "cluster_statuses": [
        {
            "name": "web",
            "host_statuses": [
                {
                    "address": at(80), "weight": 3, "health_status": {"eds_health_status": "HEALTHY"},
                    "stats": [{"name": "rq_total", "value": "7"}, {"name": "rq_error", "value": "2"}, {"name": "rq_active"}],
                },
                {
                    "address": at(81), "priority": 1,
                    "health_status": {"eds_health_status": "HEALTHY", "failed_outlier_check": True},
                },
                {"address": at(82), "health_status": {"eds_health_status": "DRAINING"}},
            ],
        },
        {"name": "empty"},
    ]
}  # fmt: skip


def test_an_endpoint_that_envoy_has_ejected_is_not_healthy():
    assert text(endpoints(LIVE)) == [
        ["10.88.0.1:80", "HEALTHY", "OK", "web", "3", "0", "0", "7", "2"],
        ["10.88.0.1:81", "UNHEALTHY", "EJECTED", "web", "1", "1", "0", "0", "0"],
        ["10.88.0.1:82", "DRAINING", "OK", "web", "1", "0", "0", "0", "0"],
    ]


def test_a_cluster_counts_its_healthy_endpoints_and_says_whether_it_warms():
    shown = dump(
        "ClustersConfigDump",
        static_clusters=[{"cluster": {"name": "xds", "type": "STATIC", "connect_timeout": "1s"}}],
        dynamic_active_clusters=[{"version_info": "1f", "cluster": {"name": "web", "type": "EDS"}}],
        dynamic_warming_clusters=[{"version_info": "2f", "cluster": {"name": "web", "type": "EDS"}}],
    )
    assert text(clusters(shown, LIVE)) == [
        ["web", "EDS", "active", "1/3", "5s", "1f"],
        ["web", "EDS", "warming", "0/0", "5s", "2f"],
        ["xds", "STATIC", "active", "0/0", "1s", "bootstrap"],
    ]
