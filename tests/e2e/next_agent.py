"""Kills the node agent, and waits for the next one: most tests ask what is true then, not in the moment between.

Another pid in the Node is not enough: a task that the new agent has not adopted yet has no logs, no commands, no metadata and,
in the docker runtime, no name server.
"""

from tsunagu.client import nodes
from tsunagu.testing.errors import RequestRefused, UnknownName

PATIENCE = 60.0  # seconds for what takes two on an idle machine


def node_of(mesh, name=""):
    """The Node `name`; without a name that of a mesh that has one."""
    found = {one.meta.name: one for one in mesh.objects("Node")}
    return found[name] if name else found.popitem()[1]


def begun(node):
    """What tells one agent of a node from the next: a pid may come again."""
    return node.node.pid, node.node.started_at.ToNanoseconds()


def kill_node_agent(mesh, name=""):
    """Returns when the next agent is READY and looks after every task of its node."""
    before = node_of(mesh, name)
    mesh.kill(f"node-{name}" if name else "node")
    wait_next_agent(mesh, before)


def wait_next_agent(mesh, before):
    """`before`: the Node as the agent left it that is no more."""
    mesh.wait_until(lambda: _adopted(mesh, before), PATIENCE, "another node agent, with the tasks of the one before")


def _adopted(mesh, before):
    try:
        if not mesh.answers():
            return False
        node = node_of(mesh, before.meta.name)
        return begun(node) != begun(before) and nodes.is_ready(node) and _tasks(mesh, node) <= _looked_after(mesh, node)
    except (RequestRefused, UnknownName):
        return False


def _tasks(mesh, node):
    return {task.meta.name for task in mesh.tasks() if task.task.spec.node == node.meta.name}


def _looked_after(mesh, node):
    answer = mesh.apis.agent(node)
    return set(answer.tasks) if answer.pid == node.node.pid else set()
