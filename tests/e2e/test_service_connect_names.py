"""Who reaches whom under which name: namespace, discoveryName, clientAliases, clusters, clients, servers, and their errors.

Three ECS clusters are in one mesh, two of them in the namespace `shop`; the third has a namespace of its own.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.connect_manifests import definition, offer, service, text
from tsunagu.model.errors import ManifestError
from tsunagu.model.ids import task_id
from tsunagu.testing import CallFailed, Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

CLUSTERS = [
    {"kind": "Cluster", "clusterName": "main", "serviceConnectDefaults": {"namespace": "shop"}},
    {"kind": "Cluster", "clusterName": "other"},
    {"kind": "Cluster", "clusterName": "lab", "serviceConnectDefaults": {"namespace": "lab"}},
]
DEFINITIONS = [
    definition("web", ("http", "http", 8080), ("extra", "http", 8081)),
    definition("api", ("http", "http", 8080)),
    definition("lab", ("http", "http", 8080)),
    definition("load", ("http", "http", 8080)),
    definition("plain", ("http", "http", 8080)),
]
WEB = {"services": [offer("http", discoveryName="front"), {"portName": "extra", "clientAliases": [{"port": 90}]}]}
SERVICES = [
    service("web", WEB, cluster="main"),
    service(
        "api", {"namespace": "shop", "services": [offer("http", "api.internal", discoveryName="api")]}, cluster="other"
    ),
    service("lab", {"services": [offer("http", "api.internal")]}, cluster="lab"),
    service("load", cluster="main"),
    service("plain", {"enabled": False}, cluster="main"),
]


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as running:
        running.apply(text=text(*CLUSTERS, *DEFINITIONS, *SERVICES))
        running.wait_steady()
        yield running


def one(mesh, name):
    """The name of the one task of a service, once the one that it takes the place of has ended."""
    [task] = mesh.wait_until(lambda: len(found := mesh.tasks(name)) == 1 and found, 60, f"one task of {name}")
    return task_id(task)


def answer(mesh, caller, url):
    return mesh.call(url, from_task=one(mesh, caller)).json()


def knows(mesh, task, name):
    return mesh.execute(one(mesh, task), "getent", "hosts", name).exit_code == 0


def clusters(mesh, task):
    """The envoy clusters of a task's proxy."""
    found = mesh.envoy(one(mesh, task), "/clusters?format=json").json()["cluster_statuses"]
    return {cluster["name"] for cluster in found}


def test_a_service_without_a_namespace_is_in_that_of_its_cluster_and_clusters_share_one(mesh):
    assert answer(mesh, "main/load", "http://api.internal/")["task"] == one(mesh, "other/api")
    assert answer(mesh, "other/api", "http://front:8080/")["task"] == one(mesh, "main/web")


def test_two_namespaces_do_not_see_each_other_even_where_they_have_the_same_name(mesh):
    assert answer(mesh, "lab/lab", "http://api.internal/")["task"] == one(mesh, "lab/lab")
    assert not knows(mesh, "lab/lab", "front")
    assert not any("/shop/" in name for name in clusters(mesh, "lab/lab"))
    vip = mesh.get("VirtualAddress", "shop/front").virtual_address.ip
    with pytest.raises(CallFailed):
        mesh.call(f"http://{vip}:8080/", from_task=one(mesh, "lab/lab"))


def test_a_discovery_name_is_its_envoy_cluster_and_without_an_alias_the_name_of_the_port(mesh):
    assert "svc/shop/front" in clusters(mesh, "main/load")
    for name in ("front", "front.shop"):
        assert answer(mesh, "main/load", f"http://{name}:8080/")["port"] == 8080
    assert not knows(mesh, "main/load", "http")


def test_an_alias_without_a_dns_name_has_both_names_at_its_port(mesh):
    for name in ("extra", "extra.shop"):
        assert answer(mesh, "main/load", f"http://{name}:90/")["port"] == 8081


def test_an_alias_has_the_port_that_it_says_and_no_other(mesh):
    assert answer(mesh, "main/load", "http://api.internal:80/")["port"] == 8080
    with pytest.raises(CallFailed):
        answer(mesh, "main/load", "http://api.internal:8080/")
    assert not knows(mesh, "main/load", "api")  # its discovery name is no alias


def test_a_client_service_has_a_proxy_and_serves_nothing(mesh):
    task = one(mesh, "main/load")
    names = mesh.envoy(task, "/listeners?format=text").text
    assert "alias/shop/front:8080" in names
    assert "in/" not in names


def test_a_service_without_service_connect_has_no_proxy_and_no_names(mesh):
    assert not knows(mesh, "main/plain", "front")
    assert one(mesh, "main/plain") not in {proxy.name.rpartition("/")[2] for proxy in mesh.proxies()}


def test_a_task_calls_its_own_service_through_its_proxy(mesh):
    response = mesh.call("http://front:8080/", from_task=one(mesh, "main/web"))
    assert response.json()["task"] == one(mesh, "main/web")
    assert response.headers["server"] == "envoy"


def test_the_names_of_a_task_are_those_of_its_namespace_and_nothing_is_left_over(mesh):
    hosts = mesh.execute(one(mesh, "main/load"), "cat", "/etc/hosts").text
    shown = {line.split()[1] for line in hosts.splitlines() if line.startswith("127.255.")}
    assert shown == {"front", "front.shop", "extra", "extra.shop", "api.internal"}


CALLS = """
import json, time, urllib.request
answers, more = [], 50  # calls after the first answer of another task
while more:
    with urllib.request.urlopen("http://moved/", timeout=20) as response:  # raises when it is not 200
        answers.append(json.load(response)["task"])
    more -= answers[-1] != answers[0]
    time.sleep(0.02)
print(json.dumps(list(dict.fromkeys(answers))))
"""


def moving(old, new):
    """Two services of one app, each with its alias."""
    named = {"old": old, "new": new}
    return [
        service(name, {"services": [offer("http", alias, discoveryName=name)]}, cluster="main", taskDefinition="api")
        for name, alias in named.items()
    ]


def test_an_alias_moves_from_one_service_to_another_in_one_apply_and_no_call_is_lost(mesh):
    mesh.apply(text=text(*moving("moved", "fresh")))
    mesh.wait_steady()
    before, following = one(mesh, "main/old"), one(mesh, "main/new")
    with ThreadPoolExecutor(1) as pool:
        calls = pool.submit(mesh.execute, one(mesh, "main/load"), "python3", "-c", CALLS, timeout=180)
        mesh.wait_until(lambda: counter(mesh, "svc/shop/old") > 5, 60, "calls")
        mesh.apply(text=text(*moving("former", "moved")))
        mesh.wait_steady()
        done = calls.result()
    assert done.exit_code == 0, done.stderr.decode()
    first, *others = json.loads(done.stdout)
    assert first == before
    assert set(others) <= {following, one(mesh, "main/new")} != set()


def counter(mesh, cluster):
    """How many requests the caller's proxy has sent to an envoy cluster."""
    found = mesh.envoy(one(mesh, "main/load"), f"/stats?filter=^cluster.{cluster}.upstream_rq_completed$").text
    return int(found.split(":")[1]) if found else 0


def reads(mesh, *documents):
    with pytest.raises(ManifestError) as caught:
        mesh.apply(text=text(*documents))
    return str(caught.value)


def test_a_live_services_app_protocol_does_not_change_and_the_error_says_what_to_do(mesh):
    changed = definition("api", ("http", "grpc", 8080))
    error = reads(mesh, changed, SERVICES[1])
    assert "port 'http' of the live service is http, and would become grpc" in error
    assert "delete the service and create it again, or offer the port under another name" in error
    assert answer(mesh, "main/load", "http://api.internal/")["protocol"] == "HTTP/1.1"


@pytest.mark.parametrize(
    ("connect", "says"),
    [
        ({"services": [offer("http", "api.internal", discoveryName="mine")]}, "api.internal:80 already belongs to"),
        ({"services": [offer("http", "mine", discoveryName="front")]}, "discovery name 'front' already belongs to"),
        ({"namespace": "nowhere/else", "services": []}, "'nowhere/else' is not valid"),
        ({"services": [offer("htpp", "mine")]}, "no port named 'htpp'; did you mean \"http\"?"),
    ],
    ids=["one alias for two", "one discovery name for two", "no name of a namespace", "no port"],
)
def test_what_belongs_to_another_service_or_to_none_is_refused(mesh, connect, says):
    assert says in reads(mesh, service("load", connect, cluster="main"))


def test_a_service_in_a_cluster_without_a_default_needs_a_namespace(mesh):
    error = reads(mesh, service("load", cluster="other"))
    assert "no namespace: the service names none, and cluster 'other' has no default" in error
