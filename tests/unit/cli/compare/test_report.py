"""proxies --diff: what is printed, and the code that it ends with; the Envoy is a page that a node agent gives."""

import json

import grpc.aio
import pytest

from tsunagu.model import ids
from tsunagu.v1 import inspector_pb2, node_pb2, node_pb2_grpc, objects_pb2
from tsunagu.xds.resources import SHORT, Resource

PROXY = "default/web-11111111"


class Agent(node_pb2_grpc.NodeAgentServicer):
    """Answers with a page, or refuses."""

    def __init__(self):
        self.status, self.page, self.hangs, self.asked = 200, {"configs": []}, False, []

    async def EnvoyAdmin(self, request, context):
        self.asked.append((request.task, request.path, request.method))
        if self.hangs:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no answer from Envoy in time")
        body = self.page if isinstance(self.page, bytes) else json.dumps(self.page).encode()
        return node_pb2.EnvoyAdminResponse(status=self.status, body=body)


@pytest.fixture
def agent(server, tmp_path):
    """A node agent, in the loop of the control plane's APIs; the mesh has one task on its node."""
    made = Agent()

    async def start():
        made.server = grpc.aio.server()
        node_pb2_grpc.add_NodeAgentServicer_to_server(made, made.server)
        made.server.add_insecure_port(f"unix:{tmp_path}/node.sock")
        await made.server.start()
        await server.registry.put(ids.make("Node", "laptop", objects_pb2.Node(api=f"unix:{tmp_path}/node.sock")))
        task = objects_pb2.Task()
        task.spec.node = "laptop"
        await server.registry.put(ids.make("Task", PROXY, task))

    server.do(start())
    server.inspector.proxies = [inspector_pb2.Proxy(name=PROXY, connected=True, variant="delta")]
    yield made
    server.do(made.server.stop(None))


def answer(*resources, connected=True):
    return inspector_pb2.ResourcesResponse(connected=connected, resources=resources)


def cluster(name="c", state="SYNCED", content=b"", **fields):
    one = Resource.of(SHORT["CDS"], name, b"\x0a" + bytes([len(name)]) + name.encode() + content)
    return inspector_pb2.ProxyResource(
        type="CDS", type_url=one.type_url, name=name, version=one.version, body=one.body, state=state, **fields
    )


def dumped(*versions):
    """Envoy has a cluster `c`."""
    title = "type.googleapis.com/envoy.admin.v3.ClustersConfigDump"
    held = [{"version_info": version, "cluster": {"name": "c", "alt_stat_name": "old"}} for version in versions]
    return {"configs": [{"@type": title, "dynamic_active_clusters": held, "static_clusters": [{}]}]}


def diff(server, tsunagu, *options):
    return tsunagu("proxies", "web", "--diff", *options, "--home", server.home.root)


def test_all_is_the_same(server, agent, tsunagu):
    server.inspector.resources = [answer(cluster())]
    agent.page = dumped(cluster().version)
    result = diff(server, tsunagu)
    assert result.stdout == "CDS 1 same; of its bootstrap, not compared: 1 CDS\n"
    assert (result.exit_code, result.stderr) == (0, "")
    assert agent.asked == [(PROXY, "/config_dump?include_eds", "GET")]


def test_a_difference(server, agent, tsunagu):
    server.inspector.resources = [answer(cluster(), cluster("new", "NOT_SENT"))]
    agent.page = dumped("other")
    result = diff(server, tsunagu)
    assert result.exit_code == 8
    assert result.stdout.splitlines() == [
        "TYPE  NAME  VERDICT                    WHY",
        "CDS   c     differs                    acknowledged",
        "CDS   new   only in the control plane  not sent",
        "",
        "--- control plane: CDS c",
        "+++ Envoy: CDS c",
        "@@ -1 +1,2 @@",
        " name: c",
        "+alt_stat_name: old",
        "CDS 0 same of 2; of its bootstrap, not compared: 1 CDS",
    ]


def test_for_programs(server, agent, tsunagu):
    server.inspector.resources = [answer(cluster())]
    agent.page = dumped("other")
    result = diff(server, tsunagu, "-o", "json")
    shown = json.loads(result.stdout)
    assert result.exit_code == 8
    assert shown["proxy"] == PROXY
    assert not shown["agrees"]
    assert shown["settled"]
    [one] = shown["resources"]
    assert (one["name"], one["verdict"], one["diff"][-1]) == ("c", "differs", "+alt_stat_name: old")


def test_what_changes_meanwhile_is_looked_at_again(server, agent, tsunagu):
    before, after = answer(cluster(content=b"\x08\x01")), answer(cluster())
    server.inspector.resources = [before, after]
    agent.page = dumped(cluster().version)
    result = diff(server, tsunagu)
    assert (result.exit_code, result.stderr, len(agent.asked)) == (0, "", 2)


def test_a_mesh_that_keeps_changing_is_told_of(server, agent, tsunagu):
    server.inspector.resources = [answer(cluster(content=bytes([0x08, number]))) for number in range(9)]
    result = diff(server, tsunagu)
    assert (result.exit_code, len(agent.asked)) == (8, 3)
    assert "the mesh is changing" in result.stderr


def test_a_proxy_that_is_not_connected(server, agent, tsunagu):
    server.inspector.resources = [answer(cluster(state="NOT_SENT"), connected=False)]
    result = diff(server, tsunagu)
    assert (result.exit_code, "web-11111111 is not connected" in result.stderr) == (8, True)
    assert "only in the control plane  not sent" in result.stdout


def test_an_envoy_that_hangs(server, agent, tsunagu):
    server.inspector.resources = [answer()]
    agent.hangs = True
    result = diff(server, tsunagu)
    assert result.exit_code == 1
    assert result.stderr == "error: the Envoy of web-11111111 does not answer: no answer from Envoy in time\n"


@pytest.mark.parametrize(
    ("status", "page", "words"),
    [
        (404, b"no such page", "answers /config_dump?include_eds with 404"),
        (200, b"<html>", "is no JSON"),
        (200, b"{}", "not as"),
    ],
)
def test_an_envoy_that_answers_otherwise(server, agent, tsunagu, status, page, words):
    server.inspector.resources = [answer()]
    agent.status, agent.page = status, page
    result = diff(server, tsunagu)
    assert (result.exit_code, result.stderr[:6]) == (1, "error:")
    assert words in result.stderr


def test_a_proxy_that_is_no_task(server, tsunagu):
    server.inspector.proxies = [inspector_pb2.Proxy(name="stranger", connected=True)]
    result = tsunagu("proxies", "stranger", "--diff", "--home", server.home.root)
    assert (result.exit_code, "no Envoy to ask" in result.stderr) == (1, True)


def test_one_proxy_must_be_named(server, agent, tsunagu):
    server.inspector.proxies.append(inspector_pb2.Proxy(name="default/web-22222222"))
    result = diff(server, tsunagu)
    assert (result.exit_code, "'web' can mean 2 proxies" in result.stderr) == (2, True)
