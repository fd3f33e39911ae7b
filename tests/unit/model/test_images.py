"""AWS's meaning of a container's command and entryPoint, with an Image in place of what the image would say."""

import re

import pytest

from tsunagu.model import ids
from tsunagu.model.images import arguments, builds, runnable, with_images
from tsunagu.v1 import ecs_pb2, objects_pb2

ENTRY, COMMAND = ["otelcol"], ["--default"]


@pytest.mark.parametrize(
    ("of_container", "of_image", "argv"),
    [
        (([], []), (ENTRY, COMMAND), ["otelcol", "--default"]),
        (([], ["--config"]), (ENTRY, COMMAND), ["otelcol", "--config"]),  # its command replaces CMD alone
        ((["sh", "-c"], []), (ENTRY, COMMAND), ["sh", "-c"]),  # its entryPoint replaces both
        ((["sh", "-c"], ["x"]), (ENTRY, COMMAND), ["sh", "-c", "x"]),
        (([], ["run"]), ([], ["serve"]), ["run"]),
        (([], []), (ENTRY, []), ["otelcol"]),
    ],
)
def test_a_command_is_the_argument_of_the_images_entry_point(of_container, of_image, argv):
    container = ecs_pb2.ContainerDefinition(entry_point=of_container[0], command=of_container[1])
    image = objects_pb2.Image(entry_point=of_image[0], command=of_image[1])
    entry, command = arguments(container, image)
    assert [*entry, *command] == argv
    image.override = True
    assert [*arguments(container, image)[0], *arguments(container, image)[1]] == [*of_image[0], *of_image[1]]


def run(containers, *found: objects_pb2.Image):
    definition = ecs_pb2.RegisterTaskDefinitionRequest(family="web", container_definitions=containers)
    made = {image.pattern: ids.make("Image", image.pattern, image) for image in found}
    return {one.name: one for one in runnable(definition, {"Image": made}).container_definitions}


def test_a_skipped_container_is_left_out_and_nothing_waits_for_it():
    web = ecs_pb2.ContainerDefinition(name="web", image="web", command=["serve"])
    web.depends_on.add(container_name="agent", condition="HEALTHY")
    agent = ecs_pb2.ContainerDefinition(name="agent", image="datadog/agent:7", command=["agent"])
    found = run([web, agent], objects_pb2.Image(pattern="datadog/*", skip=True))
    assert list(found) == ["web"]
    assert list(found["web"].depends_on) == []


def test_an_image_replaces_a_check_and_keeps_its_pace():
    web = ecs_pb2.ContainerDefinition(name="web", image="web", command=["serve"])
    web.health_check.command[:] = ["CMD", "pg_isready"]
    web.health_check.interval = 7
    image = objects_pb2.Image(pattern="web", health_check=ecs_pb2.HealthCheck(command=["CMD", "true"], retries=2))
    check = run([web], image)["web"].health_check
    assert (list(check.command), check.interval, check.retries) == (["CMD", "true"], 7, 2)


def test_who_waits_for_the_health_of_a_container_without_a_check_waits_for_its_start():
    web = ecs_pb2.ContainerDefinition(name="web", image="web", command=["serve"])
    web.depends_on.add(container_name="db", condition="HEALTHY")
    db = ecs_pb2.ContainerDefinition(name="db", image="db", command=["db"])
    db.health_check.command[:] = ["CMD", "pg_isready"]
    none = objects_pb2.Image(pattern="db", health_check=ecs_pb2.HealthCheck(command=["NONE"]))
    assert run([web, db])["web"].depends_on[0].condition == "HEALTHY"
    assert run([web, db], none)["web"].depends_on[0].condition == "START"


def imaged(containers, *found: objects_pb2.Image):
    definition = ecs_pb2.RegisterTaskDefinitionRequest(family="web", container_definitions=containers)
    made = {image.pattern: ids.make("Image", image.pattern, image) for image in found}
    return {one.name: one for one in with_images(definition, {"Image": made}).container_definitions}


def test_where_there_are_images_nothing_stands_in_for_them():
    web = ecs_pb2.ContainerDefinition(name="web", image="shop/web:1", working_directory="/srv")
    stands_in = objects_pb2.Image(pattern="shop/*", command=["python3", "web.py"], working_directory="/home/me/web")
    stands_in.environment["PORT"] = "80"
    stands_in.health_check.command.append("NONE")
    assert imaged([web], stands_in)["web"] == web


def test_where_there_are_images_an_image_may_name_another_one():
    web = ecs_pb2.ContainerDefinition(name="web", image="shop/web:1", command=["serve"])
    built = imaged([web], objects_pb2.Image(pattern="shop/*", image="web:dev"))["web"]
    assert (built.image, list(built.command)) == ("web:dev", ["serve"])
    assert run([web], objects_pb2.Image(pattern="shop/*", image="web:dev"))["web"].image == "shop/web:1"


def test_what_is_skipped_is_skipped_where_there_are_images_as_well():
    web = ecs_pb2.ContainerDefinition(name="web", image="web")
    web.depends_on.add(container_name="agent", condition="START")
    agent = ecs_pb2.ContainerDefinition(name="agent", image="agent")
    found = imaged([web, agent], objects_pb2.Image(pattern="agent", skip=True))
    assert list(found) == ["web"]
    assert not found["web"].depends_on


def test_an_image_may_be_built_of_a_folder_where_it_runs():
    web = ecs_pb2.ContainerDefinition(name="web", image="shop/web:1")
    other = ecs_pb2.ContainerDefinition(name="other", image="other")
    image = objects_pb2.Image(pattern="shop/*", build="/home/me/My Shop")
    reference = imaged([web, other], image)["web"].image
    assert re.fullmatch(r"tsunagu-build/my-shop:[0-9a-f]{12}", reference)
    definition = ecs_pb2.RegisterTaskDefinitionRequest(family="web", container_definitions=[web, other])
    state = {"Image": {"shop": ids.make("Image", "shop", image)}}
    assert builds(definition, state) == {reference: "/home/me/My Shop"}
