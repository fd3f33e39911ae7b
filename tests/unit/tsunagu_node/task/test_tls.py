"""Where a task leads who calls one of its container ports: by what it has said, the mode, and whether the port is its proxy's."""

import pytest

from tsunagu.model import ids
from tsunagu.v1 import objects_pb2
from tsunagu_node.task.calls.modes import Modes
from tsunagu_node.task.calls.tls import TaskTls
from tsunagu_node.task.calls.tls_plan import Led
from tsunagu_node.task.spec import TaskSpec


def spec(ready=(), alone=()):
    """A task with port `web` at 80, `past` at 81, which its proxy does not intercept, and `own` at 82, whose service has `tls`."""
    revision = objects_pb2.ServiceRevision(namespace="shop", connect=True)
    revision.ports.add(port_name="web", container_port=80, intercept=True)
    revision.ports.add(port_name="past", container_port=81, intercept=False)
    revision.ports.add(port_name="own", container_port=82, intercept=True, tls={})
    status = objects_pb2.TaskStatus(tls={"ready": ready, "alone": alone})
    return TaskSpec("default/web-1", objects_pb2.Task(status=status), revision)


EVERY = ("web", "past", "own")


@pytest.mark.parametrize(
    ("mode", "ready", "alone", "led"),
    [
        ("", (), (), {80: Led(), 81: Led(), 82: Led()}),
        ("", EVERY, ("own",), {80: Led(), 81: Led(), 82: Led(15402, alone=True)}),
        ("permissive", EVERY, (), {80: Led(15400), 81: Led(), 82: Led(15402)}),
        ("strict", EVERY, EVERY, {80: Led(15400, alone=True), 81: Led(), 82: Led(15402, alone=True)}),
    ],
)
async def test_who_calls_a_port_is_led_to_where_it_is_taken(mode, ready, alone, led):
    modes = Modes()
    await modes.learn({"shop": ids.make("Namespace", "shop", objects_pb2.Namespace(tls=mode))})
    tls = TaskTls(spec(ready, alone), modes, control=None, report=lambda: None)
    assert {port: tls.led(port) for port in led} == led
    assert tls.led(9) == Led(), "what is no port of Service Connect is the app's own"


async def test_what_was_said_holds_while_the_mode_is_not_known_yet():
    tls = TaskTls(spec(EVERY, ()), Modes(), control=None, report=lambda: None)
    assert tls.led(80) == Led(15400)
