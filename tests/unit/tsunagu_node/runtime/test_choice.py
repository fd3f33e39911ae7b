"""A runtime is chosen in one place, for a reason that is told."""

import pytest

from tsunagu_node.runtime import choice
from tsunagu_node.runtime.choice import Choice, Machine, Needs, choose
from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.settings import Allowed, Pull, Settings
from tsunagu_node.runtime.folders import Folders

NEEDS = "container 'app' has no command, so that only its image 'shop/app:1' says what it runs"


def answers() -> str:
    return "Docker Engine 20.10.24 (API 1.41) at /var/run/docker.sock"


def silent() -> str:
    raise RuntimeUnavailable("there is no Docker here")


def apart() -> str:
    raise RuntimeUnavailable("the engine is rootless")


def unasked() -> str:
    pytest.fail("it was asked")


STOOD_IN = "Images say what this machine runs in the place of web's"
BOTH, DOCKER_ALONE, NO_DOCKER = Machine(answers, answers), Machine(answers, apart), Machine(silent, unasked)


def test_auto_takes_docker_for_a_container_that_only_its_image_can_run():
    assert choose("auto", Needs(NEEDS), Machine(answers, unasked)) == (Choice("docker", NEEDS),)


def test_auto_takes_linux_when_every_container_has_a_command_without_asking_an_engine():
    assert choose("auto", Needs("", STOOD_IN), Machine(unasked, unasked)) == (
        Choice("linux", "every container has a command"),
    )


def test_auto_takes_linux_when_no_engine_answers_and_says_why():
    assert choose("auto", Needs(NEEDS, STOOD_IN), NO_DOCKER) == (
        Choice("linux", f"{NEEDS}, but there is no Docker here"),
    )


def test_what_is_asked_for_is_taken():
    for asked in ("linux", "docker", "linux,docker"):
        assert [one.kind for one in choose(asked, Needs(NEEDS), BOTH)] == asked.split(",")


def test_auto_takes_both_where_a_container_needs_its_image_and_images_stand_in_for_other_tasks():
    assert choose("auto", Needs(NEEDS, STOOD_IN), BOTH) == (Choice("linux", STOOD_IN), Choice("docker", NEEDS))


def test_auto_takes_docker_where_both_cannot_be_beside_each_other_and_says_why():
    (made,) = choose("auto", Needs(NEEDS, STOOD_IN), DOCKER_ALONE)
    assert made == Choice("docker", f"{NEEDS}; {STOOD_IN}, but the engine is rootless")
    with pytest.raises(RuntimeUnavailable, match="rootless"):
        choose("linux,docker", Needs(), DOCKER_ALONE)


def test_docker_that_is_asked_for_and_does_not_answer_is_an_error():
    with pytest.raises(RuntimeUnavailable, match="there is no Docker here"):
        choose("docker", Needs(), NO_DOCKER)


def test_a_choice_is_passed_on_to_the_agent_as_it_is():
    settings = Settings(pull=Pull.NEVER, allow=frozenset([Allowed.BINDS]), project="/home/me/shop")
    made = Choice("docker", "for \"reasons\" and 'others'", settings)
    assert Choice.decoded(made.encoded()) == made


def test_a_runtime_that_there_is_not_is_refused_with_those_that_there_are(tmp_path):
    unknown = Choice("nosuch", "")
    with pytest.raises(RuntimeUnavailable, match="there is no runtime 'nosuch'; there are linux and docker"):
        choice.launch(unknown, Folders.of(tmp_path), ["true"])
    with pytest.raises(RuntimeUnavailable, match="there is no runtime 'nosuch'; there are linux and docker"):
        choice.connect(unknown, Folders.of(tmp_path), [])
    with pytest.raises(RuntimeUnavailable, match="there is no runtime 'nosuch'; there are linux and docker"):
        choose("nosuch", Needs(), BOTH)
