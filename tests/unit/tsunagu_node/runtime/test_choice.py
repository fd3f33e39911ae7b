"""A runtime is chosen in one place, for a reason that is told."""

import pytest

from tsunagu_node.runtime import choice
from tsunagu_node.runtime.choice import Choice, choose
from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.settings import Allowed, Pull, Settings

NEEDS = "container 'app' has no command, so that only its image 'shop/app:1' says what it runs"


def answers() -> str:
    return "Docker Engine 20.10.24 (API 1.41) at /var/run/docker.sock"


def silent() -> str:
    raise RuntimeUnavailable("there is no Docker here")


def test_auto_takes_docker_for_a_container_that_only_its_image_can_run():
    assert choose("auto", NEEDS, answers) == Choice("docker", NEEDS)


def test_auto_takes_linux_when_every_container_has_a_command_without_asking_an_engine():
    assert choose("auto", "", lambda: pytest.fail("it was asked")) == Choice("linux", "every container has a command")


def test_auto_takes_linux_when_no_engine_answers_and_says_why():
    assert choose("auto", NEEDS, silent) == Choice("linux", f"{NEEDS}, but there is no Docker here")


def test_what_is_asked_for_is_taken():
    assert choose("linux", NEEDS, answers).kind == "linux"
    assert choose("docker", "", answers).kind == "docker"


def test_docker_that_is_asked_for_and_does_not_answer_is_an_error():
    with pytest.raises(RuntimeUnavailable, match="there is no Docker here"):
        choose("docker", "", silent)


def test_a_choice_is_passed_on_to_the_agent_as_it_is():
    settings = Settings(pull=Pull.NEVER, allow=frozenset([Allowed.BINDS]), project="/home/me/shop")
    made = Choice("docker", "for \"reasons\" and 'others'", settings)
    assert Choice.decoded(made.encoded()) == made


def test_a_runtime_that_there_is_not_is_refused_with_those_that_there_are(tmp_path):
    unknown = Choice("nosuch", "")
    with pytest.raises(RuntimeUnavailable, match="there is no runtime 'nosuch'; there are linux and docker"):
        choice.launch(unknown, tmp_path, ["true"])
    with pytest.raises(RuntimeUnavailable, match="there is no runtime 'nosuch'; there are linux and docker"):
        choice.connect(unknown, tmp_path, [])
    with pytest.raises(RuntimeUnavailable, match="there is no runtime 'nosuch'; there are linux and docker"):
        choose("nosuch", "", answers)
