"""Which container of a task `Mesh.kill` means."""

import signal

import pytest

from tsunagu.testing import containers
from tsunagu_node.runtime.docker.definition.site import KILLER, PAUSE


def listed(process, state="running"):
    labels = {"tsunagu.task": "web-1", "tsunagu.process": process}
    return {"Id": f"id-of-{process}", "Names": [f"/web-1-{process}"], "Labels": labels, "State": state}


@pytest.fixture
def signalled(monkeypatch, tmp_path):
    """Kills in a task with all kinds of containers, the newest listed first; what the engine was asked to signal."""
    asked = []
    present = [listed(KILLER), listed("sidecar"), listed("web"), listed("relay"), listed("envoy"), listed(PAUSE)]

    def call(_socket, method, target):
        if method == "POST":
            asked.append(target)
        return present

    monkeypatch.setattr(containers.engine_api, "call", call)
    found = containers.Containers(tmp_path, {"DOCKER_HOST": "unix:///engine.sock"})

    def kill(kind, task="web-1"):
        asked.clear()
        return found.kill(kind, task, signal.SIGKILL), list(asked)

    return kill


@pytest.mark.parametrize(("kind", "process"), [("app", "web"), ("envoy", "envoy"), ("init", PAUSE), ("relay", "relay")])
def test_each_kind_is_a_container_of_its_own(signalled, kind, process):
    assert signalled(kind) == (True, [f"/containers/id-of-{process}/kill?signal=9"])


def test_a_task_without_containers_is_told_apart(signalled):
    assert signalled("app", "web-2") == (False, [])
