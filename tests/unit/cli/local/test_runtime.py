"""Which runtime a mesh gets: decided at once where the manifests do not matter."""

import socket

import pytest

from tsunagu.cli.errors import CliError
from tsunagu.cli.local.request import needs, with_nodes
from tsunagu.cli.local.runtime import wish
from tsunagu.model.manifests.formats import Source, read
from tsunagu_node.runtime.choice import Needs
from tsunagu_node.runtime.docker.engine import engine_api
from tsunagu_node.runtime.docker.settings import Allowed, Pull
from tsunagu_node.runtime.finding import Finding
from tsunagu_node.runtime.linux import probe

TASK = "kind: TaskDefinition\nfamily: web\ncontainerDefinitions: [{name: app, image: 'shop/app:1'}]\n"
NEEDS = "container 'app' of web has no command, so that only its image 'shop/app:1' says what it runs"


def kinds(made) -> list[str]:
    return [one.kind for one in made]


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
    (made,) = wish("auto").at_once()
    assert (made.kind, made.reason) == ("linux", "no container engine is here")


def test_with_an_engine_auto_waits_for_the_manifests(engine):
    assert wish("auto").at_once() is None
    assert kinds(wish("auto").made(Needs())) == ["linux"]
    (made,) = wish("auto").made(Needs(NEEDS))
    assert (made.kind, made.reason) == ("docker", NEEDS)


def test_what_is_asked_for_waits_for_nothing(engine):
    assert kinds(wish("linux").at_once()) == ["linux"]
    assert kinds(wish("docker").at_once()) == ["docker"]


def test_a_mesh_has_a_node_of_each_runtime_where_they_can_be_joined(engine, monkeypatch):
    info = {"SecurityOptions": ["name=seccomp,profile=default"]}
    monkeypatch.setattr(engine_api, "call", lambda *_: info)
    monkeypatch.setattr(probe, "findings", lambda: [Finding("namespaces", True, "they work")])
    for made in (wish("linux,docker").at_once(), wish("auto").made(Needs(NEEDS, "stood in"))):
        assert kinds(made) == ["linux", "docker"]
        assert [one.settings.beside for one in made] == ["linux", "linux"]
    assert [node.node.runtime for node in with_nodes(made)["Node"].values()] == ["linux", "docker"]
    info["SecurityOptions"].append("name=rootless")
    with pytest.raises(CliError, match="--runtime linux,docker: the container engine is rootless"):
        wish("linux,docker").at_once()
    (made,) = wish("auto").made(Needs(NEEDS, "stood in"))
    assert made.kind == "docker"
    assert "stood in, but the container engine is rootless" in made.reason


def test_where_the_linux_runtime_does_not_work_auto_takes_docker_alone(engine, monkeypatch):
    monkeypatch.setattr(engine_api, "call", lambda *_: {})
    monkeypatch.setattr(probe, "findings", lambda: [Finding("namespaces", False, "forbidden", "")])
    (made,) = wish("auto").made(Needs(NEEDS, "stood in"))
    assert made.kind == "docker"
    assert made.reason.endswith("the runtime linux does not work: namespaces: forbidden")


def test_docker_that_does_not_answer_is_an_error_in_its_own_words(no_engine):
    with pytest.raises(CliError, match=r"--runtime docker: there is no container engine here: .*; start Docker"):
        wish("docker").at_once()


def test_to_validate_for_docker_none_has_to_be_there(no_engine):
    assert kinds(wish("docker").expected(Needs())) == ["docker"]
    assert kinds(wish("linux,docker").expected(Needs())) == ["linux", "docker"]
    assert kinds(wish("auto").expected(Needs(NEEDS))) == ["linux"]


def test_the_other_options_go_with_the_choice(engine, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = wish("docker", ["binds"], "never", "envoy:1").at_once()[0].settings
    assert (settings.allow, settings.pull, settings.sidecar_image) == ({Allowed.BINDS}, Pull.NEVER, "envoy:1")
    assert settings.project == str(tmp_path)
    (node,) = with_nodes(wish("docker", ["binds"]).at_once())["Node"].values()
    assert (node.node.runtime, list(node.node.allowed), node.node.project) == ("docker", ["binds"], str(tmp_path))


@pytest.mark.parametrize(
    ("text", "image"),
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
def test_a_container_needs_its_image_when_nothing_else_says_what_it_runs(text, image):
    assert needs(read([Source("a.yaml", text)])).image == image


@pytest.mark.parametrize(
    ("image", "stood_in"),
    [
        ("command: [serve]", True),
        ("entryPoint: [serve]", True),
        ("skip: true", False),
        ("environment: {A: b}", False),  # nobody says what it runs
        ("command: [serve]\nimage: shop/app:dev", False),  # it has an image here
        ("command: [serve]\nbuild: ./app", False),
    ],
)
def test_a_task_is_stood_in_for_when_images_say_what_all_of_it_runs(image, stood_in):
    text = f"{TASK}---\nkind: Image\npattern: shop/*\n{image}\n"
    assert bool(needs(read([Source("a.yaml", text)])).process) == stood_in
    beside = text.replace("1'}", "1'}, {name: log, image: 'log:1', command: [log]}")
    assert needs(read([Source("a.yaml", beside)])).process == ""  # one image of the task is what it is
