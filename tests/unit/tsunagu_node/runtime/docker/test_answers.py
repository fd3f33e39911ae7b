"""Where an engine listens, and what is said of one that cannot be used."""

import json

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
    assert "start Docker, or use --runtime linux" in answers.refusal(str(tmp_path / "nosuch.sock"))
    monkeypatch.setattr(engine_api, "version", lambda _: {"KernelVersion": "0.1"})
    assert "virtual machine" in answers.refusal("/s")
    monkeypatch.setattr(engine_api, "version", lambda _: {})
    assert answers.refusal("/s") == ""


def test_the_engine_s_name():
    podman = {"Components": [{"Name": "Podman Engine"}], "Version": "4.3.1", "ApiVersion": "1.41"}
    assert answers.described(podman) == "Podman 4.3.1 (API 1.41)"
    assert answers.described({"Version": "20.10.24", "ApiVersion": "1.41"}) == "Docker 20.10.24 (API 1.41)"
