"""Events of an engine, as it writes them."""

import json

from tsunagu_node.runtime.docker.engine.events import EngineEvent, parsed

LABELS = {"tsunagu.mesh": "m", "tsunagu.task": "web-1", "tsunagu.process": "app"}


def line(action: str, **attributes) -> bytes:
    actor = {"ID": "c1", "Attributes": {**LABELS, **attributes}}
    return json.dumps({"Action": action, "Actor": actor, "time": 7, "timeNano": 7_500_000_000}).encode()


def test_the_end_of_a_process_and_of_a_command():
    found = list(parsed([line("die", exitCode="3"), b"", line("exec_die", exitCode="0", execID="x"), line("oom")]))
    assert found == [
        EngineEvent("die", "c1", "web-1", "app", 7.5, 3),
        EngineEvent("exec_die", "c1", "web-1", "app", 7.5, 0, "x"),
        EngineEvent("oom", "c1", "web-1", "app", 7.5),
    ]


def test_what_is_no_container_of_the_mesh_s_is_left_out():
    other = json.dumps({"Action": "die", "Actor": {"ID": "c2", "Attributes": {}}, "time": 7}).encode()
    assert list(parsed([other, line("start"), line("exec_start: sh -c true")])) == []


def test_the_router_belongs_to_no_task():
    labels = {"tsunagu.mesh": "m", "tsunagu.process": ".router"}
    died = json.dumps({"Action": "die", "Actor": {"ID": "c3", "Attributes": labels}, "time": 7}).encode()
    assert list(parsed([died])) == [EngineEvent("die", "c3", "", ".router", 7.0)]
