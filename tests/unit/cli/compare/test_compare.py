"""Control plane against Envoy: each verdict, and what is no difference."""

import json
from datetime import timedelta

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as endpoints
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import envoy_data_plane.envoy.type.v3 as kinds
import pytest
from envoy_data_plane.google.protobuf import Any

from tsunagu.cli.compare import config_dump, normalize
from tsunagu.cli.compare.compare import compare
from tsunagu.v1 import inspector_pb2
from tsunagu.xds.resources import SHORT, Resource


def wanted(short, message, state="SYNCED", **fields):
    body = bytes(message)
    name = getattr(message, "cluster_name", "") or message.name
    resource = Resource.of(SHORT[short], name, body)
    return inspector_pb2.ProxyResource(
        type=short, type_url=SHORT[short], name=name, state=state, version=resource.version, body=body, **fields
    )


def cluster(name="c", timeout=1.0):
    return clusters.Cluster(name=name, connect_timeout=timedelta(seconds=timeout))


def shown(name="c", timeout="1s", **fields):
    return {"@type": SHORT["CDS"], "name": name, "connect_timeout": timeout, **fields}


def dumped(**sections):
    """config_dump, of its sections: clusters={...}."""
    titles = {name: f"type.googleapis.com/envoy.admin.v3.{name.capitalize()}ConfigDump" for name in sections}
    return config_dump.read({"configs": [{"@type": titles[name], **section} for name, section in sections.items()]})


def active(*held, version="other"):
    return dumped(clusters={"dynamic_active_clusters": [{"version_info": version, "cluster": one} for one in held]})


def verdicts(resources, held):
    return [(one.type, one.name, one.word) for one in compare(resources, held)]


def test_the_same_content_under_another_version_is_the_same():
    assert verdicts([wanted("CDS", cluster())], active(shown())) == [("CDS", "c", "same")]


@pytest.mark.parametrize("shown_as", ["7", 7])
def test_a_number_of_64_bits_is_the_same_as_a_string_and_as_a_number(shown_as):
    given = normalize.of_dump(SHORT["CDS"], shown(value_fixed=shown_as, text="07"))
    assert (given["value_fixed"], given["text"]) == (7, "07")


def test_the_same_version_is_the_same_without_a_look():
    one = wanted("CDS", cluster())
    assert verdicts([one], active(shown(timeout="9s"), version=one.version)) == [("CDS", "c", "same")]


def test_a_difference_is_shown_as_yaml():
    [verdict] = compare([wanted("CDS", cluster(), state="STALE", age_seconds=3)], active(shown(timeout="2s")))
    assert (verdict.word, verdict.why) == ("differs", "sent and not acknowledged, or not sent yet, for 3.0s")
    assert [line for line in verdict.diff if line[0] in "+-"] == ["-connect_timeout: 1s", "+connect_timeout: 2s"]


def test_what_only_one_of_them_has():
    found = compare([wanted("CDS", cluster("mine"), state="NOT_SENT")], active(shown("its")))
    assert [(one.name, one.word, one.why, one.agrees) for one in found] == [
        ("mine", "only in the control plane", "not sent", False),
        ("its", "only in Envoy", "", False),
    ]


def test_a_removal_that_envoy_has_not_heard_of():
    gone = inspector_pb2.ProxyResource(type="CDS", type_url=SHORT["CDS"], name="c", state="STALE", age_seconds=1)
    [verdict] = compare([gone], active(shown()))
    assert (verdict.word, verdict.why[:4]) == ("only in Envoy", "sent")
    assert compare([gone], active()) == []


def test_a_cluster_that_warms_is_not_in_use():
    held = dumped(clusters={"dynamic_warming_clusters": [{"version_info": "x", "cluster": shown()}]})
    [verdict] = compare([wanted("CDS", cluster())], held)
    assert (verdict.word, verdict.agrees) == ("warming", False)
    assert verdicts([wanted("CDS", cluster(timeout=2))], held) == [("CDS", "c", "differs")]


def listener(**state):
    return dumped(listeners={"dynamic_listeners": [{"name": "l", **state}]})


LISTENER = {"version_info": "x", "listener": {"@type": SHORT["LDS"], "name": "l"}}


def test_a_refused_listener_has_envoys_words():
    one = wanted("LDS", listeners.Listener(name="l"))
    [verdict] = compare([one], listener(error_state={"details": "no\n address"}))
    assert (verdict.word, verdict.why, verdict.agrees) == ("refused", "no address", False)
    known = wanted("LDS", listeners.Listener(name="l", stat_prefix="new"), state="NACKED", error="l: bad")
    [verdict] = compare([known], listener(active_state=LISTENER))
    assert (verdict.word, verdict.why) == ("refused", "l: bad")
    assert "-stat_prefix: new" in verdict.diff


def test_a_refused_listener_stands_without_a_name_beside_the_one_in_use():
    failed = {"error_state": {"failed_configuration": {"@type": SHORT["LDS"], "name": "l"}, "details": "bad"}}
    held = dumped(listeners={"dynamic_listeners": [{"name": "l", "active_state": LISTENER}, failed]})
    [verdict] = compare([wanted("LDS", listeners.Listener(name="l"))], held)
    assert (verdict.word, verdict.why) == ("refused", "bad")
    assert compare([], dumped(listeners={"dynamic_listeners": [failed]})) == []


def test_a_listener_that_drains_is_no_difference():
    [verdict] = compare([], listener(draining_state=LISTENER))
    assert (verdict.word, verdict.agrees) == ("draining", True)
    assert verdicts(
        [wanted("LDS", listeners.Listener(name="l"))], listener(active_state=LISTENER, draining_state=LISTENER)
    ) == [("LDS", "l", "same")]


def test_what_stands_in_the_bootstrap_is_only_counted():
    held = dumped(
        clusters={"static_clusters": [{"cluster": shown("xds")}]},
        endpoints={"dynamic_endpoint_configs": [{"endpoint_config": {"cluster_name": "inline"}}]},
        routes={"static_route_configs": [{"route_config": {"name": "inline"}}]},
    )
    assert (compare([], held), held.static["CDS"]) == ([], 1)


def test_a_secret_is_compared_by_its_version():
    one = wanted("SDS", tls.Secret(name="s"))
    one.ClearField("body")

    def held(version):
        return dumped(secrets={"dynamic_active_secrets": [{"name": "s", "version_info": version, "secret": {"x": 1}}]})

    assert verdicts([one], held(one.version)) == [("SDS", "s", "same")]
    [verdict] = compare([one], held("other"))
    assert (verdict.word, verdict.diff) == ("differs", ("(secret)",))


def test_a_type_that_config_dump_does_not_show():
    one = inspector_pb2.ProxyResource(type="RTDS", type_url=SHORT["RTDS"], name="r", version="1", state="SYNCED")
    [verdict] = compare([one], active())
    assert (verdict.word, verdict.agrees) == ("not compared", True)


def test_content_of_an_unknown_type_is_told_by_version():
    message = clusters.Cluster(
        name="c", typed_extension_protocol_options={"x": Any(type_url="type.googleapis.com/own.Thing", value=b"")}
    )
    [verdict] = compare([wanted("CDS", message)], active(shown(), version="9"))
    assert verdict.word == "differs"
    assert "own.Thing" in verdict.diff[0]
    assert "Envoy has version 9" in verdict.diff[0]


def test_names_with_digits_and_floats_and_durations_read_the_same():
    message = clusters.Cluster(
        name="c",
        connect_timeout=timedelta(milliseconds=250),
        outlier_detection=clusters.OutlierDetection(consecutive_5xx=5, interval=timedelta(seconds=10)),
        common_lb_config=clusters.ClusterCommonLbConfig(healthy_panic_threshold=kinds.Percent(value=33.3)),
    )
    held = shown(
        timeout="0.250s",
        outlier_detection={"interval": "10s", "consecutive_5xx": 5},
        common_lb_config={"healthy_panic_threshold": {"value": 33.3}},
    )
    assert verdicts([wanted("CDS", message)], active(held)) == [("CDS", "c", "same")]


def test_what_envoy_hides_is_hidden_on_both_sides():
    ours = {"key": {"inline_string": "very secret"}, "list": [{"password": "x"}, 1], "name": "n"}
    theirs = {"key": {"inline_string": "[redacted]"}, "list": [{"password": "W3JlZGFjdGVkXQ=="}, 1], "name": "n"}
    assert normalize.veiled(ours, theirs) == theirs
    assert normalize.veiled({"list": [1, 2]}, {"list": [1]}) == {"list": [1, 2]}


def tls_cluster(key):
    certificate = tls.TlsCertificate(private_key=core.DataSource(inline_string=key))
    context = tls.UpstreamTlsContext(common_tls_context=tls.CommonTlsContext(tls_certificates=[certificate]))
    socket = core.TransportSocket(name="tls", typed_config=Any.pack(context))
    return clusters.Cluster(name="c", connect_timeout=timedelta(seconds=1), transport_socket=socket)


def tls_shown(key):
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"tls_certificates": [{"private_key": {"inline_string": key}}]},
    }
    return shown(transport_socket={"name": "tls", "typed_config": context})


def test_a_key_is_never_shown():
    """Not even where Envoy has nothing in its place that it could hide."""
    [verdict] = compare([wanted("CDS", tls_cluster("MIIE"), state="NACKED", error="no")], active(shown()))
    assert verdict.word == "refused"
    assert "MIIE" not in "".join(verdict.diff)
    assert "[redacted]" in "".join(verdict.diff)
    assert normalize.hidden({"x": "-----BEGIN PRIVATE KEY-----\nMIIE", "n": 1}) == {"x": "[redacted]", "n": 1}


def test_keys_that_cannot_be_compared_are_the_same_only_when_they_were_accepted():
    held = active(tls_shown("[redacted]"))
    assert verdicts([wanted("CDS", tls_cluster("MIIE"))], held) == [("CDS", "c", "same")]
    [verdict] = compare([wanted("CDS", tls_cluster("MIIE"), state="STALE")], held)
    assert (verdict.word, verdict.diff) == ("differs", ("(a secret in it)",))


# Endpoints: Envoy shows its live hosts.

CLUSTER = {"dynamic_active_clusters": [{"version_info": "x", "cluster": shown("e", type="EDS")}]}


def host(port, weight=None, **fields):
    address = core.Address(socket_address=core.SocketAddress(address="10.0.0.1", port_value=port))
    return endpoints.LbEndpoint(endpoint=endpoints.Endpoint(address=address), load_balancing_weight=weight, **fields)


def live(port, health="HEALTHY", weight=1, **fields):
    address = {"socket_address": {"address": "10.0.0.1", "port_value": port}}
    endpoint = {"address": address, "health_check_config": {}}
    return {"endpoint": endpoint, "health_status": health, "load_balancing_weight": weight, **fields}


def assignment(*hosts, **fields):
    return endpoints.ClusterLoadAssignment(
        cluster_name="e", endpoints=[endpoints.LocalityLbEndpoints(lb_endpoints=list(hosts), **fields)]
    )


def lives(*hosts, **fields):
    locality = {"locality": {}, "lb_endpoints": list(hosts), "load_balancing_weight": 0, **fields}
    return {"cluster_name": "e", "endpoints": [locality], "policy": {"overprovisioning_factor": 140}}


UNHEALTHY, DEGRADED, DRAINING = core.HealthStatus.UNHEALTHY, core.HealthStatus.DEGRADED, core.HealthStatus.DRAINING
ZONE = core.Locality(zone="z")


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        (assignment(host(1), host(2)), lives(live(2), live(1)), True),
        (assignment(host(1)), lives(live(1), live(2)), False),
        (assignment(host(1)), lives(), False),
        (assignment(), {"cluster_name": "e", "policy": {"overprovisioning_factor": 140}}, True),
        (assignment(host(1), host(1)), lives(live(1)), True),
        (assignment(host(1, weight=3)), lives(live(1, weight=3)), True),
        (assignment(host(1, weight=3)), lives(live(1)), False),
        (assignment(host(1, weight=1)), lives(live(1)), True),
        (assignment(host(1)), lives(live(1, health="UNHEALTHY")), True),  # ejected: not what it was told
        (assignment(host(1, health_status=UNHEALTHY)), lives(live(1, health="UNHEALTHY")), True),
        (assignment(host(1, health_status=UNHEALTHY)), lives(live(1)), False),
        (assignment(host(1, health_status=DRAINING)), lives(live(1, health="UNHEALTHY")), True),
        (assignment(host(1, health_status=DEGRADED)), lives(live(1, health="DEGRADED")), True),
        (assignment(host(1), locality=ZONE), lives(live(1), locality={"zone": "z"}), True),
        (assignment(host(1), locality=ZONE), lives(live(1)), False),
        (assignment(host(1), priority=1), lives(live(1), priority=1), True),
        (assignment(host(1), priority=1), lives(live(1)), False),
        (assignment(host(1), load_balancing_weight=5), lives(live(1), load_balancing_weight=5), True),
        (assignment(host(1), load_balancing_weight=5), lives(live(1)), False),
    ],
)
def test_endpoints_are_compared_as_hosts(ours, theirs, same):
    theirs = json.loads(json.dumps(theirs))
    held = dumped(clusters=CLUSTER, endpoints={"dynamic_endpoint_configs": [{"endpoint_config": theirs}]})
    verdict = next(one for one in compare([wanted("EDS", ours)], held) if one.type == "EDS")
    assert (verdict.word, bool(verdict.diff)) == (("same", False) if same else ("differs", True))


def test_endpoints_go_by_the_name_that_the_cluster_asks_by():
    asks = shown("c", type="EDS", eds_cluster_config={"service_name": "e"})
    held = dumped(
        clusters={"dynamic_warming_clusters": [{"cluster": asks}]},
        endpoints={"dynamic_endpoint_configs": [{"endpoint_config": lives(live(1))}]},
    )
    assert ("EDS", "e", "same") in verdicts([wanted("EDS", assignment(host(1)))], held)


@pytest.mark.parametrize("value", [{}, [], None, {"configs": [1]}, {"configs": [{}]}, {"configs": 3}])
def test_what_is_no_dump(value):
    with pytest.raises(config_dump.NotADump, match="not as expected"):
        config_dump.read(value)


@pytest.mark.parametrize("body", [b"\x0a\xff", b"\x0a\x02\xff\xfe"])
def test_what_is_no_message(body):
    with pytest.raises(normalize.Unreadable):
        normalize.of_body(SHORT["CDS"], body)
