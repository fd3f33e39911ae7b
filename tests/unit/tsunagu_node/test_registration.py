"""What a Node says of its agent, from the moment on at which another agent starts."""

import asyncio
from types import SimpleNamespace

import pytest

from tsunagu.model import ids
from tsunagu.v1 import objects_pb2
from tsunagu_node.registration import STARTING, Identity, Registration

IDENTITY = Identity("laptop", "1", "unix:/m/node.sock", pid=42, capacity=10)
RUNTIME = SimpleNamespace(kind="linux", reason="namespaces", task_cidr="10.88.0.0/16", problem="")


class Control:
    """A registry in memory that has granted every lease, and remembers what the Node has said."""

    def __init__(self, *objects):
        self.objects = {(ids.kind_of(obj), obj.meta.name): obj for obj in objects}
        self.said = []

    async def lease(self, lease_id, ttl):
        pass

    async def keep_lease(self, lease_id):
        return True

    async def get(self, kind, name):
        found = self.objects.get((kind, name))
        copy = objects_pb2.Object()
        return copy.FromString(found.SerializeToString()) if found else None

    async def put(self, obj):
        self.objects[ids.kind_of(obj), obj.meta.name] = obj
        if ids.kind_of(obj) == "Node":
            self.said.append((obj.node.state, obj.node.reason, obj.node.pid, obj.meta.lease))


def left(state):
    """A Node as an agent of an earlier time has left it."""
    return ids.make("Node", "laptop", objects_pb2.Node(state=state, pid=7, reason="" if state == "READY" else "silent"))


class Hosts:
    """The identities with which the node's machine calls."""

    def __init__(self):
        self.found = []

    def told(self):
        return self.found


async def test_a_node_tells_with_which_identities_its_machine_calls():
    control, hosts = Control(), Hosts()
    registration = Registration(control, RUNTIME, IDENTITY, hosts)
    keeping = asyncio.create_task(registration.keep())
    registration.ready()
    async with asyncio.timeout(60):
        while not control.said:  # noqa: ASYNC110
            await asyncio.sleep(0)
        hosts.found = [objects_pb2.HostIdentity(namespace="shop", identity={"id": "spiffe://x/ns/shop/host/laptop"})]
        hosts.changed()
        while list(control.objects["Node", "laptop"].node.identities) != hosts.found:  # noqa: ASYNC110
            await asyncio.sleep(0)
    keeping.cancel()


@pytest.mark.parametrize(
    ("control", "first"),
    [
        (Control(), []),
        (Control(left("READY")), [("NOT_READY", STARTING, 7, "node/laptop")]),
        (Control(left("NOT_READY")), []),
    ],
    ids=["a new node", "its agent was killed", "its agent was silent"],
)
async def test_a_node_is_ready_once_its_new_agent_has_adopted_what_runs(control, first):
    registration = Registration(control, RUNTIME, IDENTITY)
    keeping = asyncio.create_task(registration.keep())
    async with asyncio.timeout(60):
        while ("NodeLease", "laptop") not in control.objects or len(control.said) < len(first):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert control.said == first
        registration.ready()
        while len(control.said) == len(first):  # noqa: ASYNC110
            await asyncio.sleep(0)
    keeping.cancel()
    assert control.said == [*first, ("READY", "", 42, "node/laptop")]


def test_a_node_says_what_does_not_work_though_it_is_ready():
    runtime = SimpleNamespace(**{**vars(RUNTIME), "problem": "its tasks are not reached"})
    registration = Registration(Control(), runtime, IDENTITY)
    registration.tell("Task", "its watch fails")
    assert registration._node().node.reason == "its watch fails; its tasks are not reached"
