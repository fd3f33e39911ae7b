"""Which runtime a mesh gets: decided at once where the manifests do not matter."""

import socket

import pytest

from tsunagu.cli.errors import CliError
from tsunagu.cli.local.request import needs_image, with_node
from tsunagu.cli.local.runtime import wish
from tsunagu.model.manifests.formats import Source, read
from tsunagu_node.runtime.docker.engine import engine_api
from tsunagu_node.runtime.docker.settings import Allowed, Pull

TASK = "kind: TaskDefinition\nfamily: web\ncontainerDefinitions: [{name: app, image: 'shop/app:1'}]\n"
NEEDS = "container 'app' of web has no command, so that only its image 'shop/app:1' says what it runs"


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """A socket that DOCKER_HOST names, and an engine that answers at it."""
    path = tmp_path / "s"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    monkeypatch.setattr(engine_api, "version", lambda _: {"Version": "20.10.24", "ApiVersion": "1.41"})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")


def test_without_an_engine_auto_waits_for_nothing(no_engine):
    made = wish("auto").at_once()
    assert (made.kind, made.reason) == ("linux", "no container engine is here")


def test_with_an_engine_auto_waits_for_the_manifests(engine):
    assert wish("auto").at_once() is None
    assert wish("auto").made("").kind == "linux"
    assert (wish("auto").made(NEEDS).kind, wish("auto").made(NEEDS).reason) == ("docker", NEEDS)


def test_what_is_asked_for_waits_for_nothing(engine):
    assert wish("linux").at_once().kind == "linux"
    assert wish("docker").at_once().kind == "docker"


def test_docker_that_does_not_answer_is_an_error_in_its_own_words(no_engine):
    with pytest.raises(CliError, match=r"--runtime docker: there is no container engine here: .*; start Docker"):
        wish("docker").at_once()


def test_to_validate_for_docker_none_has_to_be_there(no_engine):
    assert wish("docker").expected("").kind == "docker"
    assert wish("auto").expected(NEEDS).kind == "linux"


def test_the_other_options_go_with_the_choice(engine, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = wish("docker", ["binds"], "never", "envoy:1").at_once().settings
    assert (settings.allow, settings.pull, settings.sidecar_image) == ({Allowed.BINDS}, Pull.NEVER, "envoy:1")
    assert settings.project == str(tmp_path)
    (node,) = with_node(wish("docker", ["binds"]).at_once())["Node"].values()
    assert (node.node.runtime, list(node.node.allowed), node.node.project) == ("docker", ["binds"], str(tmp_path))


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        (TASK, NEEDS),
        (TASK.replace("1'", "1', command: [serve]"), ""),
        (TASK.replace("1'", "1', entryPoint: [serve]"), ""),
        (TASK + "---\nkind: Image\npattern: shop/*\ncommand: [serve]\n", ""),
        (TASK + "---\nkind: Image\npattern: shop/*\nskip: true\n", ""),
        (TASK + "---\nkind: Image\npattern: shop/*\nenvironment: {A: b}\n", NEEDS),
        (TASK.replace("1'", "1', firelensConfiguration: {type: fluentbit}"), ""),
    ],
)
def test_a_container_needs_its_image_when_nothing_else_says_what_it_runs(text, needs):
    assert needs_image(read([Source("a.yaml", text)])) == needs
