"""Where an engine listens, and what is said of one that cannot be used."""

import grp
import json
import os
import socket

import pytest

from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.engine import answers, engine_api
from tsunagu_node.runtime.docker.settings import Allowed, Pull, Settings


def test_settings_are_passed_as_one_argument():
    settings = Settings("/s", "envoy:1", Pull.NEVER, frozenset({Allowed.BINDS}), "/p", {"a": "b"})
    assert Settings.parse(settings.argument()) == settings
    assert Settings.parse(Settings().argument()) == Settings()


def test_the_socket_that_is_named_counts(tmp_path):
    assert answers.endpoint("/a", {"DOCKER_HOST": "unix:///b"}) == "/a"
    assert answers.endpoint("", {"DOCKER_HOST": "unix:///b", "HOME": str(tmp_path)}) == "/b"


def test_the_context_of_the_docker_command(tmp_path):
    meta = tmp_path / "contexts" / "meta" / "x"
    meta.mkdir(parents=True)
    (tmp_path / "config.json").write_text('{"currentContext": "mine"}')
    (meta / "meta.json").write_text(json.dumps({"Name": "mine", "Endpoints": {"docker": {"Host": "unix:///c"}}}))
    assert answers.endpoint("", {"DOCKER_CONFIG": str(tmp_path)}) == "/c"


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ((), "/var/run/docker.sock"),
        (("/run/user/1/docker.sock",), "/run/user/1/docker.sock"),
        (("/run/user/1/podman/podman.sock",), "/run/user/1/podman/podman.sock"),
        (("/var/run/docker.sock", "/run/user/1/docker.sock"), "/var/run/docker.sock"),
    ],
)
def test_the_places_where_engines_listen(tmp_path, there, found):
    environment = {"XDG_RUNTIME_DIR": "/run/user/1", "HOME": str(tmp_path)}
    assert answers.endpoint("", environment, there.__contains__) == found


def test_an_engine_behind_a_network_is_refused():
    with pytest.raises(RuntimeUnavailable, match="unset DOCKER_HOST"):
        answers.endpoint("", {"DOCKER_HOST": "tcp://10.0.0.1:2375"})


def test_what_is_wrong_and_what_would_be_right(monkeypatch, tmp_path):
    gone = tmp_path / "gone.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(gone))
    told = {path: answers.refusal(str(path)) for path in (gone, tmp_path / "nosuch.sock")}
    assert told == {
        gone: f"the container engine does not run: nobody listens at {gone}; start Docker, or use --runtime linux",
        tmp_path / "nosuch.sock": f"there is no container engine here: no socket {tmp_path}/nosuch.sock; "
        "start Docker, or use --runtime linux",
    }
    monkeypatch.setattr(engine_api, "version", lambda _: {"KernelVersion": "0.1"})
    assert "virtual machine" in answers.refusal("/s")
    monkeypatch.setattr(engine_api, "version", lambda _: {"Version": "18.09", "ApiVersion": "1.39"})
    assert answers.refusal("/s") == "Docker 18.09 (API 1.39) is too old: API 1.41 is needed, that of Docker 20.10"
    monkeypatch.setattr(engine_api, "version", lambda _: {})
    assert answers.refusal("/s") == ""


def test_an_engine_that_hangs_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(engine_api, "_QUICK", 0.05)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen()
        assert "does not answer in time" in answers.refusal(str(tmp_path / "s"))


def test_who_may_use_a_socket_is_told_with_its_group(monkeypatch, tmp_path):
    def forbidden(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(engine_api, "version", forbidden)
    path, user, group = tmp_path / "s", answers._user(), grp.getgrgid(os.getgid()).gr_name
    path.touch()
    why = f"user {user} may not use {path}, which is for the group {group}"
    monkeypatch.setattr(answers, "_members", lambda _: [])
    assert answers.refusal(str(path)) == f"{why}; as root: usermod -aG {group} {user}, then log in again"
    monkeypatch.setattr(answers, "_members", lambda _: [user])
    assert answers.refusal(str(path)).endswith(f"log in again, or: newgrp {group}")


def test_what_answers_is_told_with_its_place(monkeypatch):
    monkeypatch.setattr(engine_api, "version", lambda _: {"Version": "20.10.24", "ApiVersion": "1.41"})
    assert answers.find("/s", {}) == "Docker 20.10.24 (API 1.41) at /s"
    monkeypatch.setattr(engine_api, "version", lambda _: {"Version": "18.09", "ApiVersion": "1.39"})
    with pytest.raises(RuntimeUnavailable, match="too old"):
        answers.find("/s", {})


def test_the_engine_s_name():
    podman = {"Components": [{"Name": "Podman Engine"}], "Version": "4.3.1", "ApiVersion": "1.41"}
    assert answers.described(podman) == "Podman 4.3.1 (API 1.41)"
    assert answers.described({"Version": "20.10.24", "ApiVersion": "1.41"}) == "Docker 20.10.24 (API 1.41)"
