"""A task's file from the placeholder to the renewals, whatever the control plane does meanwhile."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest

from tsunagu.ca import authority, requests
from tsunagu.kit import tokens
from tsunagu.model import identities, ids
from tsunagu.v1 import identities_pb2, objects_pb2
from tsunagu_node.control import Refused
from tsunagu_node.identity.task_identity import PLACEHOLDER, TaskIdentity
from tsunagu_node.identity.trust import Trust
from tsunagu_node.task.spec import TaskSpec

KEY = b"k" * 32
ORDERS = identities.of_service("tsunagu.local", "shop", "default", "orders")


class Task:
    """A task's files."""

    def __init__(self):
        self.files = {}

    def read_config(self, name):
        if name not in self.files:
            raise FileNotFoundError(2, "No such file or directory", name)
        return self.files[name]

    def write_config(self, name, text):
        self.files[name] = text


class Control:
    """A control plane that signs, or is away as long as `refusal` says why."""

    def __init__(self, life=3600.0):
        self.life = life
        self.asked = []
        self.refusal = ""
        self.signer = authority.make("tsunagu.local", time.time())

    async def issue(self, request):
        self.asked.append(request)
        if self.refusal:
            raise Refused(self.refusal)
        key = requests.key_of(request.certificate_request)
        return self.signer.sign(key, ORDERS, time.time(), self.life).told("default")

    def bundles(self, *namespaces):
        body = identities_pb2.TrustBundle(signs=self.signer.fingerprint, namespaces=namespaces)
        return {"default": ids.make("TrustBundle", "default", body)}


def spec(status=None):
    task = objects_pb2.Task(spec=objects_pb2.TaskSpec(namespace="shop", node="n1"), status=status)
    return TaskSpec("default/orders-1", task, objects_pb2.ServiceRevision(connect=True))


class Scene:
    def __init__(self, control, trust, task, status=None):
        self.control, self.trust, self.task = control, trust, task
        self.happened = asyncio.Event()
        self.identity = TaskIdentity(spec(status), trust, control.issue, KEY, self.happened.set)

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                self.happened.clear()
                await self.happened.wait()

    @property
    def status(self):
        status = objects_pb2.TaskStatus()
        self.identity.report(status)
        return status

    @asynccontextmanager
    async def running(self):
        self.identity.place(self.task)
        job = asyncio.create_task(self.identity.run(self.task))
        try:
            yield
        finally:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    @property
    def serial(self):
        return json.loads(self.task.files["identity.json"])["version_info"]


@pytest.fixture
def scene():
    return Scene(Control(), Trust(), Task())


async def test_a_placeholder_is_there_before_anything_else(scene):
    scene.identity.place(scene.task)
    assert scene.task.files == {"identity.json": PLACEHOLDER}
    assert not scene.identity.ready


async def test_a_namespace_without_tls_asks_for_nothing(scene):
    async with scene.running():
        await scene.trust.learn({})
        await scene.trust.learn(scene.control.bundles("lab"))
        await asyncio.sleep(0)
    assert scene.control.asked == []
    assert not scene.status.HasField("identity")


async def test_a_task_gets_its_certificate_when_its_namespace_speaks_tls(scene):
    async with scene.running():
        await scene.trust.learn({})
        await scene.trust.learn(scene.control.bundles("shop"))
        await scene.until(lambda: scene.identity.ready)
    (request,) = scene.control.asked
    assert (request.node, request.task) == ("n1", "default/orders-1")
    assert tokens.verify(KEY, request.token) == "node:n1"
    assert scene.status.identity.id == str(ORDERS)
    assert scene.serial == scene.status.identity.serial


async def test_no_key_is_in_its_status(scene):
    async with scene.running():
        await scene.trust.learn(scene.control.bundles("shop"))
        await scene.until(lambda: scene.identity.ready)
    assert "PRIVATE" in scene.task.files["identity.json"]
    assert "PRIVATE" not in str(scene.status)
    assert all(b"PRIVATE" not in one.SerializeToString() for one in scene.control.asked)


async def test_while_the_control_plane_is_away_it_says_why_and_tries_again(scene):
    scene.control.refusal = "the authority is being replaced"
    async with scene.running():
        await scene.trust.learn(scene.control.bundles("shop"))
        await scene.until(lambda: scene.identity.trouble)
        assert scene.status.identity.problem == "the control plane refused: the authority is being replaced"
        assert scene.task.files["identity.json"] == PLACEHOLDER
        scene.control.refusal = ""
        await scene.until(lambda: scene.identity.ready)
    assert scene.status.identity.problem == ""


async def test_it_is_renewed_long_before_its_end_with_a_new_key():
    scene = Scene(Control(life=1.0), Trust(), Task())
    async with scene.running():
        await scene.trust.learn(scene.control.bundles("shop"))
        await scene.until(lambda: len(scene.control.asked) >= 3)
    sent = {one.certificate_request for one in scene.control.asked}
    assert len(sent) == len(scene.control.asked)


async def test_another_authority_that_signs_is_asked_soon(scene):
    async with scene.running():
        await scene.trust.learn(scene.control.bundles("shop"))
        await scene.until(lambda: scene.identity.ready)
        before = scene.status.identity.issuer
        scene.control.signer = authority.make("tsunagu.local", time.time())
        await scene.trust.learn(scene.control.bundles("shop"))
        await scene.until(lambda: scene.status.identity.issuer != before)
    assert scene.status.identity.issuer == scene.control.signer.fingerprint


async def test_the_next_node_agent_goes_on_without_a_new_key(scene):
    async with scene.running():
        await scene.trust.learn(scene.control.bundles("shop"))
        await scene.until(lambda: scene.identity.ready)
    text = scene.task.files["identity.json"]
    control = Control()
    control.signer = scene.control.signer
    later = Scene(control, Trust(), scene.task, scene.status)
    async with later.running():
        await later.until(lambda: later.identity.ready)
        for _ in range(10):  # it does nothing else before it knows whether its namespace speaks TLS
            await asyncio.sleep(0)
        assert later.identity.ready
        await later.trust.learn(scene.control.bundles("shop"))
        for _ in range(10):
            await asyncio.sleep(0)
    assert control.asked == []
    assert scene.task.files["identity.json"] == text


@pytest.mark.parametrize("text", ["", "{", PLACEHOLDER])
async def test_a_file_that_was_spoilt_meanwhile_is_replaced(scene, text):
    async with scene.running():
        await scene.trust.learn(scene.control.bundles("shop"))
        await scene.until(lambda: scene.identity.ready)
    scene.task.files["identity.json"] = text
    later = Scene(scene.control, Trust(), scene.task, scene.status)
    async with later.running():
        await later.trust.learn(scene.control.bundles("shop"))
        await later.until(lambda: later.identity.ready)
    assert "PRIVATE" in scene.task.files["identity.json"]
    assert len(scene.control.asked) == 2
