"""The node agent over a runtime without namespaces: all that stands above the contract of runtimes knows the contract alone.

A real registry and its API, real processes, an Envoy that a script stands in for.
"""

import asyncio
import json
import os
import signal
from functools import partial

import pytest

from tests.contract.fake_mesh import SLEEP, app, container, exec_, together
from tests.contract.fake_runtime import FakeRuntime
from tests.contract.runtime_suite import free_port
from tsunagu.serve.api.registry import Limits
from tsunagu.v1 import node_pb2, objects_pb2
from tsunagu_node.runtime.contract import Capture, Redirect
from tsunagu_node.task.spec import DNS, METADATA

SERVE = "import os, socket; s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\nwhile 1:\n c, a = s.accept(); c.sendall(b'hello'); c.close()"


async def test_a_task_goes_its_way_from_start_to_stop(mesh):
    async with mesh.agent():
        node = await mesh.until(lambda: mesh.registry.get("Node", "laptop"))
        assert (node.node.runtime, node.node.task_cidr) == ("fake", "127.88.0.0/16")
        await mesh.task(app("print('hello')\n" + SLEEP), app("raise SystemExit(0)", "once", essential=False))
        running = await mesh.reaches("RUNNING")
        assert running.ip == "127.88.0.2"
        os.kill(container(running).pid, 0)
        await mesh.ends("once")
        log = mesh.home / "tasks" / "web-1" / "log" / "app.log"

        async def says():
            return "hello\n" in log.read_text()

        await mesh.until(says, "the app's word")
        await mesh.stop()
        stopped = await mesh.reaches("STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == ("ServiceSchedulerInitiated", "scaled in")
        assert {one.name: one.exit_code for one in stopped.containers} == {"app": 143, "once": 0}
        assert mesh.fake.tasks == {}
        async with mesh.node() as node:
            lines = [line async for line in node.Logs(node_pb2.LogsRequest(task="default/web-1"))]
        assert [(line.container, line.line) for line in lines] == [("app", b"hello")]


async def test_a_watch_that_fails_is_seen_in_the_node(mesh, monkeypatch):
    """The control plane answers, so that nobody would look there: the node says what it cannot read."""
    monkeypatch.setattr(mesh.records, "_limits", Limits(watches=0))

    async def reason():
        node = await mesh.registry.get("Node", "laptop")
        return node and node.node.state == "READY" and node.node.reason

    async with mesh.agent():
        told = await mesh.until(reason)
        assert "its watch of Task objects fails: 0 watches are open" in told
        monkeypatch.undo()

        async def works():
            return await reason() == ""

        await mesh.until(works, "the watch works again")
        await mesh.task(app())
        await mesh.reaches("RUNNING")


@pytest.mark.parametrize("name", ["init", "relay", "envoy", "pause"])
async def test_a_container_may_have_a_name_that_the_node_agent_uses_itself(mesh, name):
    async with mesh.agent():
        await mesh.task(app(), app("print('done')", name, essential=False))
        await mesh.reaches("RUNNING")
        await mesh.ends(name)
        async with mesh.node() as node:
            request = node_pb2.LogsRequest(task="default/web-1", container=name)
            assert [line.line async for line in node.Logs(request)] == [b"done"]


async def test_a_container_may_be_an_image(mesh):
    async with mesh.agent():
        await mesh.task({"name": "app", "image": "shop/sleep:1"})
        assert container(await mesh.reaches("RUNNING")).pid
        await mesh.task({"name": "app", "image": "shop/nosuch:1"}, name="web-2")
        stopped = await mesh.reaches("STOPPED", "web-2")
        assert stopped.stop_code == "TaskFailedToStart"
        assert "there is no image 'shop/nosuch:1'" in stopped.stopped_reason
        assert "web-2" not in mesh.fake.tasks


async def test_an_essential_container_s_end_is_the_task_s(mesh, tmp_path):
    async with mesh.agent():
        await mesh.task(*together(tmp_path / "begun"))
        stopped = await mesh.reaches("STOPPED")
        assert stopped.stop_code == "EssentialContainerExited"
        assert {one.name: one.exit_code for one in stopped.containers} == {"app": 3, "other": 143}


async def test_commands_run_in_a_container(mesh):
    async with mesh.agent():
        await mesh.task(app(environment=[{"name": "WORD", "value": "hi"}]))
        await mesh.reaches("RUNNING")
        assert await exec_(mesh, "sh", "-c", "echo $WORD; echo oops >&2; exit 3") == (3, b"hi\n", b"oops\n")
        large = os.urandom(300_000)
        assert await exec_(mesh, "cat", stdin=large) == (0, large, b"")


async def test_a_task_with_a_proxy_waits_for_its_listeners_and_its_port_and_drains_before_it_stops(mesh):
    port = free_port()
    serving = app(SERVE, environment=[{"name": "PORT", "value": str(port)}])
    ingress = objects_pb2.ServicePort(
        port_name="http", container_port=port, ingress_port=15100, app_protocol="http", intercept=True
    )
    await mesh.put(
        "VirtualAddress",
        "shop/orders",
        objects_pb2.VirtualAddress(namespace="shop", dns_name="orders", ip="127.255.0.1"),
    )
    async with mesh.agent():
        await mesh.task(serving, connect=True, namespace="shop", ports=[ingress], drain_timeout_seconds=30)
        await mesh.reaches("PENDING")
        mesh.proxies_have("in/default/web/web-1/http", "alias/shop/orders:80", active=1)
        running = await mesh.reaches("RUNNING")
        assert (running.proxy.state, running.proxy.restarts) == ("LIVE", 0)
        task = mesh.fake.tasks["web-1"]
        assert task.network.nat == (Capture("127.255.0.0", 16, 15001), METADATA, *DNS, Redirect(port, 15100))
        assert task.names == {"orders": "127.255.0.1"}
        await mesh.stop()
        await mesh.reaches("DEACTIVATING")

        async def asked():
            return mesh.barrier.asked

        await mesh.until(asked, "the barrier is asked")
        assert await exec_(mesh, "true") == (0, b"", b"")  # whoever calls it is answered still
        assert (await mesh.status()).last_status == "DEACTIVATING"
        mesh.proxies_have("in/default/web/web-1/http", active=0)
        stopped = await mesh.reaches("STOPPED")
        assert stopped.proxy.state == "STOPPED"
        assert container(stopped).exit_code == 143


async def test_a_killed_proxy_is_started_again(mesh):
    mesh.proxies_have()
    async with mesh.agent():
        await mesh.task(app(), connect=True, namespace="shop")
        running = await mesh.reaches("RUNNING")
        os.kill(running.proxy.pid, signal.SIGKILL)

        async def back():
            proxy = (await mesh.status()).proxy
            return proxy.restarts == 1 and proxy.state == "LIVE" and proxy.pid != running.proxy.pid

        await mesh.until(back)


async def test_a_gateway_s_ports_are_open_until_it_drains(mesh):
    outer, inner = free_port(), free_port()
    mesh.proxies_have(f"alias/shop/web:{inner}")
    (mesh.home / "stats.json").write_text(json.dumps({"cluster.svc/x.upstream_rq_active": 0}))
    published = objects_pb2.PublishedPort(host_port=outer, alias="web", port=inner)
    spec = objects_pb2.TaskSpec(
        cluster="default",
        gateway="front",
        namespace="shop",
        publish=[published],
        node="laptop",
        desired_status="RUNNING",
    )
    await mesh.put(
        "VirtualAddress", "shop/web", objects_pb2.VirtualAddress(namespace="shop", dns_name="web", ip="127.255.0.1")
    )

    async def hello(_, writer):
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(hello, "127.255.0.1", inner), mesh.agent():
        await mesh.put("Task", "default/front-1", objects_pb2.Task(spec=spec))
        await mesh.reaches("RUNNING", "front-1")
        reader, writer = await asyncio.open_connection("127.0.0.1", outer)
        assert await reader.read() == b"hello"
        writer.close()
        await mesh.stop("front-1")
        await mesh.reaches("STOPPED", "front-1")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", outer)


async def test_a_new_agent_adopts_what_runs_and_marks_lost_what_does_not(mesh):
    mesh.proxies_have()
    async with mesh.agent():
        await mesh.task(app(), app("raise SystemExit(0)", "once", essential=False), connect=True, namespace="shop")
        await mesh.task(app(), name="web-2")
        before = await mesh.reaches("RUNNING")
        await mesh.reaches("RUNNING", "web-2")
        await mesh.ends("once")
    await mesh.fake.tasks["web-2"].kill()
    async with mesh.agent() as agent:
        lost = await mesh.reaches("STOPPED", "web-2")
        assert lost.stopped_reason == "It died while its node agent was away"
        assert list(agent.controllers) == ["default/web-1"]
        assert await exec_(mesh, "true") == (0, b"", b"")

        async def live():
            status = await mesh.status()
            return status if status.proxy.state == "LIVE" and status.proxy.pid else None

        after = await mesh.until(live, "its proxy is live")
        assert (container(after).pid, after.proxy.pid, after.ip) == (container(before).pid, before.proxy.pid, before.ip)
        await mesh.stop()
        stopped = await mesh.reaches("STOPPED")
        assert {one.name: one.exit_code for one in stopped.containers} == {"app": 143, "once": 0}


async def test_what_a_task_leaves_is_kept_as_long_as_its_record(mesh):
    left = mesh.home / "tasks" / "web-0"
    (left / "log").mkdir(parents=True)  # of a task whose record went while no agent was there
    async with mesh.agent():
        for name in ("web-1", "web-2"):
            await mesh.task(app("print('hello')"), name=name)
            await mesh.reaches("STOPPED", name)

        async def only(*names):
            return {path.name for path in (mesh.home / "tasks").iterdir()} == set(names)

        await mesh.until(lambda: only("web-1", "web-2"), "the old directory is removed")
        await mesh.registry.delete("Task", "default/web-1")
        await mesh.until(lambda: only("web-2"), "the directory goes with the record")
        async with mesh.node() as node:
            lines = [line async for line in node.Logs(node_pb2.LogsRequest(task="default/web-2"))]
        assert [line.line for line in lines] == [b"hello"]


async def test_a_task_that_ends_while_its_agent_is_away_ended_for_the_reason_that_it_had(mesh):
    """It was asked to stop, and its app did: to the next agent that must not look as if it had ended by itself."""
    go = mesh.home / "go"
    code = (
        "import os, signal, time\n"
        "def asked(*_):\n"
        "    print('asked')\n"
        f"    while not os.path.exists({str(go)!r}): time.sleep(.01)\n"
        "    exit(0)\n"
        "signal.signal(15, asked)\n"
        "print('ready')\n"
        "time.sleep(600)"
    )
    async with mesh.agent():
        await mesh.task(app(code, stopTimeout=60))
        await mesh.reaches("RUNNING")
        log = mesh.home / "tasks" / "web-1" / "log" / "app.log"

        async def says(word):
            return word in log.read_text()

        await mesh.until(partial(says, "ready"))
        await mesh.stop()
        await mesh.until(partial(says, "asked"))  # STOPPING is reported a moment before
        await mesh.reaches("STOPPING")
    go.touch()

    async def ended():
        return mesh.fake.states["web-1"]["app"].code is not None

    await mesh.until(ended, "the app has ended")
    async with mesh.agent():
        stopped = await mesh.reaches("STOPPED")
    assert (stopped.stop_code, stopped.stopped_reason) == ("ServiceSchedulerInitiated", "scaled in")


async def test_an_agent_renews_its_leases_first_and_is_ready_when_it_has_adopted_what_runs(mesh, monkeypatch):
    """However long that takes: an agent that crashes while it adopts holds its node's tasks all the same."""
    go, start = asyncio.Event(), FakeRuntime.start

    async def slow(self):
        await go.wait()
        return await start(self)

    monkeypatch.setattr(FakeRuntime, "start", slow)
    async with mesh.agent():
        lease = await mesh.until(lambda: mesh.registry.get("NodeLease", "laptop"))
        assert (lease.meta.lease, lease.node_lease.pid) == ("agent/laptop", os.getpid())
        assert await mesh.registry.get("Node", "laptop") is None
        go.set()
        node = await mesh.until(lambda: mesh.registry.get("Node", "laptop"))
        assert (node.meta.lease, node.node.state, node.node.reason) == ("node/laptop", "READY", "")


@pytest.mark.parametrize("lost", ["Node", "NodeLease"])
async def test_an_agent_registers_again_whatever_of_it_is_gone(mesh, lost):
    async with mesh.agent():
        await mesh.until(lambda: mesh.registry.get("Node", "laptop"))
        await mesh.registry.delete(lost, "laptop")
        again = await mesh.until(lambda: mesh.registry.get(lost, "laptop"))
        assert again.meta.lease


async def test_a_node_that_was_marked_silent_is_ready_again_by_its_agent(mesh):
    async with mesh.agent():
        node = await mesh.until(lambda: mesh.registry.get("Node", "laptop"))
        node.node.state, node.node.reason = "NOT_READY", "its agent does not answer"
        await mesh.registry.put(node)

        async def ready():
            return (await mesh.registry.get("Node", "laptop")).node.state == "READY"

        await mesh.until(ready)
