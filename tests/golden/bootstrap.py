"""A bootstrap that shows a real Envoy everything that a proxy sees, so that it validates it."""

TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def bootstrap_of(kinds):
    """Everything that a proxy sees as static resources. Routes, endpoints and filters, which Envoy would fetch, are shown to it in
    a listener and a cluster of their own."""
    fixed = [
        {"name": "eds/" + one["cluster_name"], "load_assignment": one | {"cluster_name": "eds/" + one["cluster_name"]}}
        for one in kinds["EDS"]
    ]
    return {
        "node": {"id": "golden", "cluster": "golden"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            }
        },
        "static_resources": {
            "clusters": [xds_cluster(), *kinds["CDS"], *fixed],
            "listeners": [
                *kinds["LDS"],
                *(listener_of(index, one) for index, one in enumerate(kinds["RDS"])),
                *(filter_shown(index, one) for index, one in enumerate(kinds["ECDS"])),
            ],
            "secrets": kinds["SDS"],
        },
        # With neither this nor a limit of connections Envoy warns at start, whatever it is given.
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 1000,
                    },
                }
            ]
        },
    }


def xds_cluster():
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": "xds",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            options: {"@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}
        },
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "xds.sock"}}}}]}],
        },
    }


def listener_of(index, route):
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = "envoy.extensions.filters.http.router.v3.Router"
    config = {
        "@type": f"type.googleapis.com/{manager}",
        "stat_prefix": "route",
        "route_config": route | {"validate_clusters": True},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"type.googleapis.com/{router}"}}],
    }
    return {
        "name": "route/" + route["name"],
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 20000 + index}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": config}]}],
    }


def filter_shown(index, extension):
    """A listener with a filter that a proxy would be sent."""
    filters = [extension, {"name": "tcp", "typed_config": {"@type": TCP_PROXY, "stat_prefix": "x", "cluster": "xds"}}]
    if "filters.http." in extension["typed_config"]["@type"]:
        route = {"name": extension["name"], "virtual_hosts": []}
        filters = listener_of(0, route)["filter_chains"][0]["filters"]
        filters[0]["typed_config"]["http_filters"].insert(0, extension)
    return {
        "name": "filter/" + extension["name"],
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 21000 + index}},
        "filter_chains": [{"filters": filters}],
    }
