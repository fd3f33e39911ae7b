"""The endpoint over a task whose socket is an ordinary one: each path, and what is not there."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from tests.unit.tsunagu_node.task.metadata.test_documents import facts
from tsunagu.kit.http import Request, ask
from tsunagu_node.runtime.contract import EngineContainer, ProcessState, RuntimeFailed
from tsunagu_node.task.containers import State
from tsunagu_node.task.metadata import documents, endpoint
from tsunagu_node.task.metadata.endpoint import Endpoint
from tsunagu_node.task.metadata.facts import endpoint_id

PAIR = ({"name": "app", "image": "a"}, {"name": "late", "image": "b"})


class Task:
    """A task that can be listened in after `failures`, with stats of the process `runs` alone."""

    id = "web-1"

    def __init__(self, failures=0, runs="app"):
        self.runs = runs
        self.failures = failures
        self.asked = 0
        self.listener = None

    async def listen(self, port):
        if self.failures:
            self.failures -= 1
            raise RuntimeFailed("not yet")
        self.listener = socket.create_server(("127.0.0.1", 0))
        return self.listener

    async def stats(self, name):
        self.asked += 1
        return {"read": f"t{self.asked}", "cpu_stats": {}, "networks": {}} if name == self.runs else None


@asynccontextmanager
async def running(task, told):
    """An endpoint that is answered; the function that asks it."""
    one = Endpoint(task, lambda: told)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        job = group.create_task(one.run())
        await one.listening()
        address = task.listener.getsockname()

        async def get(path, container="app"):
            variables = endpoint.environment(told.spec, container)
            path = variables["ECS_CONTAINER_METADATA_URI_V4"].removeprefix("http://169.254.170.2") + path
            response = await ask(address, Request(path))
            return response.json() if response.status == 200 else (response.status, response.text)

        yield get
        job.cancel()


async def test_each_path_is_answered():
    told = facts(*PAIR, states={"app": State("RUNNING")})
    app, late = (endpoint_id(told.spec, name) for name in ("app", "late"))
    async with running(Task(), told) as get:
        assert await get("") == documents.container(told, "app")
        assert await get("", "late") == documents.container(told, "late")
        assert await get("/task") == documents.task(told)
        assert (await get("/stats"))["id"] == app
        assert await get("/stats", "late") is None
        stats = await get("/task/stats")
        assert (stats[app]["read"][:1], stats[late]) == ("t", None)


async def test_stats_that_are_asked_for_often_are_taken_once_in_a_while():
    task, told = Task(), facts(*PAIR, processes={"app": ProcessState(None, 1.0, None)})
    async with running(task, told) as get:
        assert [(await get("/stats"))["read"] for _ in range(5)] == ["t1"] * 5
    ended = facts(*PAIR, processes={"app": ProcessState(0, 1.0, 2.0)})
    async with running(task, ended) as get:
        await get("/stats")
        await get("/stats")
    assert task.asked == 3


async def test_a_container_that_is_called_as_the_proxy_tells_what_it_uses_itself():
    named = Task(runs="envoy.container")
    async with running(named, facts({"name": "envoy", "image": "a"})) as get:
        assert (await get("/stats", "envoy"))["read"] == "t1"


async def test_what_is_not_there_is_refused():
    async with running(Task(), facts()) as get:
        status, text = await get("x")
        assert (status, text.startswith('"V4 container metadata handler: ')) == (404, True)
        assert await get("/nothing") == (404, "404 page not found\n")


async def test_the_engine_s_id_is_as_good_as_the_endpoint_s():
    process = ProcessState(None, 1.0, None, EngineContainer("3f0a", "name"))
    answer = await Endpoint(Task(), lambda: facts(processes={"app": process})).answer("GET", "/v2/metadata/3f0a")
    assert b'"DockerId": "3f0a"' in answer.body


async def test_a_task_that_cannot_be_listened_in_yet_is_tried_again(monkeypatch):
    monkeypatch.setattr(endpoint, "_RETRY", 0.01)
    async with running(Task(failures=2), facts()) as get:
        assert (await get("/task"))["Family"] == "web"


async def test_containers_do_not_wait_for_ever_for_their_endpoint(monkeypatch):
    monkeypatch.setattr(endpoint, "_PATIENCE", 0.01)
    one = Endpoint(Task(failures=1000), facts)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(one.run())
        await one.listening()
        job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
