"""What the node agent does about the calls of a task: it connects in the task's place, tells its network, switches its log."""

import json
import signal

from tests.contract.fake_mesh import SLEEP, app
from tests.contract.runtime_suite import free_port
from tsunagu.v1 import node_pb2

SERVE = "import socket; s = socket.create_server(('127.0.0.1', {port}))\nwhile 1:\n c, a = s.accept(); c.sendall(c.recv(9)[::-1]); c.close()"


async def dialed(mesh, ip, port, *sent, task="default/web-1"):
    """Return what the agent answers, as (field, value)."""
    start = node_pb2.DialRequest(start=node_pb2.DialStart(task=task, ip=ip, port=port))
    requests = [start, *(node_pb2.DialRequest(sent=piece) for piece in sent)]
    found = []
    async with mesh.node() as node:
        async for answer in node.Dial(iter(requests)):
            kind = answer.WhichOneof("response")
            found.append((kind, getattr(answer, kind)))
            if kind in ("refused", "ended"):
                break
    return found


async def test_a_connection_is_made_in_the_task_and_carries_bytes_both_ways(mesh):
    port = free_port()
    async with mesh.agent():
        await mesh.task(app(SERVE.format(port=port)))
        await mesh.reaches("RUNNING")

        async def answered():
            return (found := await dialed(mesh, "127.0.0.1", port, b"abc"))[0][0] == "connected" and found

        found = await mesh.until(answered)
        assert found == [("connected", True), ("received", b"cba"), ("ended", "closed")]


async def test_why_there_is_no_connection(mesh):
    port = free_port()
    async with mesh.agent():
        await mesh.task(app(SLEEP))
        await mesh.reaches("RUNNING")
        assert await dialed(mesh, "127.0.0.1", port) == [("refused", "Connection refused")]
        assert await dialed(mesh, "orders", 80) == [("refused", "'orders' is no IPv4 address")]
        assert await dialed(mesh, "127.0.0.1", 0) == [("refused", "0 is no port")]
        assert await dialed(mesh, "127.0.0.1", port, task="nobody-1") == [("refused", "no task 'nobody-1' runs here")]


async def test_what_listens_in_a_task_is_told(mesh):
    port = free_port()
    async with mesh.agent():
        await mesh.task(app(SERVE.format(port=port)))
        await mesh.reaches("RUNNING")

        async def told():
            async with mesh.node() as node:
                found = await node.TaskNetwork(node_pb2.TaskNetworkRequest(task="default/web-1"))
            return [(one.address, one.port) for one in found.listening]

        assert await mesh.until(told) == [("127.0.0.1", port)]


async def wants(mesh, mode):
    def change(obj):
        obj.task.spec.egress_log = mode

    await mesh.registry.update("Task", "default/web-1", change)


def posted(mesh):
    path = mesh.home / "posts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_the_egress_log_is_switched_in_the_envoy_that_runs_and_in_the_next_one(mesh):
    on = "/runtime_modify?tsunagu.egress_log=0&tsunagu.egress_errors=100"
    mesh.proxies_have()
    async with mesh.agent():
        await mesh.task(app(SLEEP), connect=True)
        await mesh.reaches("RUNNING")
        await wants(mesh, "errors")

        async def switched():
            return posted(mesh)[-1:] == [on]

        await mesh.until(switched)
        agent_before = len(posted(mesh))
    async with mesh.agent():  # it does not know what the Envoy was told, and tells it

        async def told_again():
            return len(posted(mesh)) > agent_before and posted(mesh)[-1] == on

        await mesh.until(told_again)
        await mesh.fake.tasks["web-1"].signal("envoy", signal.SIGKILL)

        async def started_with_it():
            config = json.loads((mesh.home / "tasks" / "web-1" / "envoy.json").read_text())
            return config["layered_runtime"]["layers"][0]["static_layer"] == {
                "tsunagu.egress_log": 0,
                "tsunagu.egress_errors": 100,
            }

        await mesh.until(started_with_it)
