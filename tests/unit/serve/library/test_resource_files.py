"""Resources from YAML or JSON: Envoy's own names, every fault with its place, and nothing of a text that has one."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import Address, Metadata, SocketAddress
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy
from envoy_data_plane.google.protobuf import Any, Struct

from tsunagu import CDS, UnreadableResources, resource, resources_from

EXAMPLES = Path(__file__).parents[4] / "examples"
TYPE = "type.googleapis.com/envoy.config"

WHOLE = """
static_resources:
  clusters:
  - name: app
    type: STATIC
    connect_timeout: 1.5s
    per_connection_buffer_limit_bytes: 32768
    metadata: {filter_metadata: {labels: {zone: a, weight: 3, live: true, none: null, list: [1, b]}}}
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 8001}}}
  listeners:
  - name: front
    address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: app
          cluster: app
"""


def address(host, port):
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def test_it_says_the_same_as_the_classes():
    labels = {"zone": "a", "weight": 3, "live": True, "none": None, "list": [1, "b"]}
    hosts = [LbEndpoint(endpoint=Endpoint(address=address("127.0.0.1", 8001)))]
    cluster = Cluster(
        name="app",
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=1.5),
        per_connection_buffer_limit_bytes=32768,
        metadata=Metadata(filter_metadata={"labels": Struct.from_dict(labels)}),
        load_assignment=ClusterLoadAssignment(cluster_name="app", endpoints=[LocalityLbEndpoints(lb_endpoints=hosts)]),
    )
    proxy = Filter(name="tcp", typed_config=Any.pack(TcpProxy(stat_prefix="app", cluster="app")))
    listener = Listener(name="front", address=address("0.0.0.0", 10000), filter_chains=[FilterChain(filters=[proxy])])
    assert resources_from(WHOLE) == [resource(cluster), resource(listener)]


@pytest.mark.parametrize(
    "text",
    [
        f'"@type": {TYPE}.cluster.v3.Cluster\nname: a\n',
        f'- "@type": {TYPE}.cluster.v3.Cluster\n  name: a\n',
        f'resources:\n- "@type": {TYPE}.cluster.v3.Cluster\n  name: a\n',
        "clusters:\n- name: a\n",
        '{"static_resources": {"clusters": [{"name": "a"}]}}',
        '{\n\t"clusters": [{"name": "a"}]\n}\n',
        f'version_info: "3"\nresources:\n- "@type": "{TYPE}.cluster.v3.Cluster"\n  name: a\n',
    ],
)
def test_a_document_may_have_any_of_envoys_shapes(text):
    assert resources_from(text) == [resource(Cluster(name="a"))]


def test_several_documents_are_one():
    assert [one.name for one in resources_from("clusters:\n- name: a\n---\nclusters:\n- name: b\n")] == ["a", "b"]


def test_a_file_is_read_by_its_path(tmp_path):
    path = tmp_path / "edge.json"
    path.write_text(json.dumps({"clusters": [{"name": "a", "connectTimeout": "2s", "type": "STRICT_DNS"}]}))
    assert resources_from(path) == resources_from(str(path))
    assert resources_from(path)[0].type_url == CDS
    with pytest.raises(FileNotFoundError):
        resources_from(tmp_path / "none.yaml")


def test_a_bootstrap_can_be_read():
    assert [one.name for one in resources_from(EXAMPLES / "02-own-control-plane" / "envoy.yaml")] == ["control-plane"]


def problems(text):
    with pytest.raises(UnreadableResources) as caught:
        resources_from(text)
    return [str(one) for one in caught.value.problems]


def test_every_fault_is_told_with_its_place_and_what_may_be_meant():
    text = WHOLE
    for right, wrong in (
        ("STATIC", "STATICC"),
        ("1.5s", "1.5"),
        ("port_value: 8001", "port: 8001"),
        ("32768", "many"),
        ("port_value: 10000", "port_value: -1"),
        ("tcp_proxy.v3.TcpProxy", "tcp_proxy.v3.TcpProxi"),
    ):
        text = text.replace(right, wrong)
    cluster, listener = "static_resources.clusters[0]", "static_resources.listeners[0]"
    message = "message 'TcpProxi': did you mean \"TcpProxy\"?"
    package = "envoy.extensions.filters.network.tcp_proxy.v3"
    endpoint = f"{cluster}.load_assignment.endpoints[0].lb_endpoints[0].endpoint"
    assert problems(text) == [
        f'text:5:11: {cluster}.type: "STATICC" is none of its values: did you mean "STATIC"?',
        f"text:6:22: {cluster}.connect_timeout: expected a duration such as 1.5s, this is 1.5",
        f'text:7:40: {cluster}.per_connection_buffer_limit_bytes: expected a whole number, this is "many"',
        f'text:13:69: {endpoint}.address.socket_address.port: SocketAddress has no such field: did you mean "port_value"?',
        f"text:16:62: {listener}.address.socket_address.port_value: -1 is not between 0 and 4294967295",
        f"text:21:20: {listener}.filter_chains[0].filters[0].typed_config.@type: {package} has no {message}",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n", "text:1:1: there is nothing in it; what has no resources says so: resources: []"),
        ("a: [1\n", "text:2:1: this is neither YAML nor JSON: expected ',' or ']'"),
        ("clusterz: []\n", 'text:1:1: there are no resources in this: did you mean "clusters"?'),
        ("one\ntwo\n", 'text:1:1: expected resources, this is "one two"'),
        ("clusters: 3\n", "text:1:11: clusters: expected a list, this is 3"),
        ("- 3\n", "text:1:3: [0]: expected a mapping, this is 3"),
        ("resources:\n- name: a\n", "text:2:3: resources[0]: a resource says what it is: '@type': type.goo"),
        ("- '@type': type.googleapis.com/envoy.config.clutser.v3.Cluster\n", 'did you mean "envoy.config.cluster.v3"?'),
        ("- '@type': type.googleapis.com/envoy.config.core.v3.Address\n", "Address is no resource of xDS"),
        ("clusters:\n- type: STATIC\n", "clusters[0]: a Cluster without a name"),
        ("clusters:\n- name: a\n- name: a\n", "text:3:3: clusters[1]: 'a' is there twice"),
        ("clusters:\n- name: a\n  name: b\n", "text:3:3: clusters[0].name: is there twice, first in line 2"),
        ("clusters:\n- name: 3\n", "text:2:9: clusters[0].name: expected a text, this is 3"),
        ("clusters:\n- name: a\n  metadata: 3\n", "expected a mapping, this is 3"),
        ("clusters:\n- name: a\n  health_checks: {}\n", "expected a list, this is a mapping"),
        ("clusters:\n- {name: a, type: EDS, cluster_type: {name: x}}\n", "Group cluster_discovery_type has more than"),
        ("clusters:\n- {name: a, respect_dns_ttl: 1}\n", "expected true or false, this is 1"),
        ("secrets:\n- {name: a, generic_secret: {secret: {inline_bytes: ä}}}\n", "expected bytes in base64"),
        ("[" * 3000, "it is nested too deeply"),
    ],
)
def test_a_fault_is_told(text, words):
    assert any(words in problem for problem in problems(text)), problems(text)


def test_aliases_of_yaml_cannot_multiply_without_end():
    lines = ["a: &a0 {k: v}"] + [
        f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(10))}}}" for n in range(1, 9)
    ]
    bomb = "\n".join(lines) + "\nclusters:\n- name: x\n  metadata: {filter_metadata: *a8}\n"
    assert any("values" in problem or "nested" in problem for problem in problems(bomb))


def test_a_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableResources, match=r"x\.yaml:1:1: this is no text in UTF-8"):
        resources_from(tmp_path / "x.yaml")
