"""What doctor says of an engine."""

from tsunagu_node.runtime.docker import docker_probe
from tsunagu_node.runtime.docker.docker_probe import findings, limits
from tsunagu_node.runtime.docker.engine import engine_api

VERSION = {"Version": "20.10.24", "ApiVersion": "1.41"}


def test_without_an_engine_it_says_so_and_that_none_is_needed(tmp_path):
    (found,) = findings({"DOCKER_HOST": f"unix://{tmp_path}/s"})
    assert (found.name, found.ok, found.needed) == ("docker", False, False)
    assert found.detail == f"there is no container engine here: no socket {tmp_path}/s"
    assert found.remedy == "start Docker, or use --runtime linux"


def test_an_engine_is_told_with_what_limits_it(monkeypatch):
    monkeypatch.setattr(engine_api, "version", lambda _: VERSION)
    monkeypatch.setattr(engine_api, "call", lambda *_: {"SecurityOptions": ["name=seccomp,profile=default"]})
    (found,) = findings({"DOCKER_HOST": "unix:///s"})
    assert (found.ok, found.detail) == (True, "Docker 20.10.24 (API 1.41) at /s")


def test_an_engine_that_ends_under_the_question_is_told(monkeypatch):
    def ended(*_):
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(engine_api, "version", lambda _: VERSION)
    monkeypatch.setattr(docker_probe.engine_api, "call", ended)
    (found,) = findings({"DOCKER_HOST": "unix:///s"})
    assert not found.ok


def test_podman_and_rootless_engines_are_told():
    found = {one.name: one for one in limits("Podman 4.3.1 (API 1.41) at /s", {"SecurityOptions": ["name=rootless"]})}
    assert set(found) == {"podman", "container addresses"}
    assert "does not reach the addresses of containers" in found["container addresses"].detail
    assert [one.name for one in limits("Docker", {"SecurityOptions": ["name=userns"]})] == ["userns-remap"]
