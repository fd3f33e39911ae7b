"""What a container runs here: its own command together with its Image's, or, on a node with images, what is in its image.

AWS runs the image's ENTRYPOINT with the container's ``command`` as its arguments, and a container's ``entryPoint`` in place of
both. An Image says what the image would where no image is pulled. The one rule: only this module combines the two, so that
validation, notes and service revisions never differ about a command.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tsunagu.model import references
from tsunagu.v1 import ecs_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.model.references import State
    from tsunagu.v1 import objects_pb2

NO_CHECK = "NONE"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_DIGITS = 12
#: Runtimes of nodes that run a container's image, so that it needs no command.
_WITH_IMAGES = frozenset({"docker"})


def arguments(
    container: ecs_pb2.ContainerDefinition, image: objects_pb2.Image | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (entry point, command) of a container; both empty if nobody gives it one."""
    entry, command = tuple(container.entry_point), tuple(container.command)
    if image is None:
        return entry, command
    of_image = tuple(image.entry_point), tuple(image.command)
    if image.override and any(of_image):
        return of_image
    if entry:
        return entry, command
    return (of_image[0], command) if command else of_image


def is_left_out(container: ecs_pb2.ContainerDefinition, state: State) -> bool:
    """Whether the container is not started: its Image skips it, or it is a log router without a command."""
    image = references.image_for(container.image, state)
    if image is not None and image.skip:
        return True
    return image is None and references.is_log_router(container) and not references.runs_by_itself(container)


def runs_images(node: objects_pb2.Node) -> bool:
    """Whether a node runs containers in their images."""
    return node.runtime in _WITH_IMAGES


def node_for_images(state: State) -> bool:
    """Whether a node is there that runs containers in their images."""
    return any(runs_images(obj.node) for obj in references.objects(state, "Node").values())


def node_for_processes(state: State) -> bool:
    """Whether a node is there that runs containers as processes of its machine."""
    return not all(runs_images(obj.node) for obj in references.objects(state, "Node").values())


def stood_in(definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State) -> bool:
    """Whether Images say of all containers of a task definition what this machine runs in their place."""
    started = [one for one in definition.container_definitions if not is_left_out(one, state)]
    return bool(started) and all(_is_stood_in(one, references.image_for(one.image, state)) for one in started)


def _is_stood_in(container: ecs_pb2.ContainerDefinition, image: objects_pb2.Image | None) -> bool:
    return image is not None and not (image.image or image.build) and any(arguments(container, image))


def first_that_is_stood_in(definitions: Iterable[ecs_pb2.RegisterTaskDefinitionRequest], state: State) -> str:
    """Return which task definition's images are stood in for, for people; empty when there is none."""
    found = next((one.family for one in definitions if stood_in(one, state)), "")
    return f"Images say what this machine runs in the place of {found}'s" if found else ""


def run_in_images(definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State) -> bool:
    """Whether tasks of a definition run in their images here: on a node that has them, unless what stands in for them has one
    of its own.
    """
    return node_for_images(state) and not (node_for_processes(state) and stood_in(definition, state))


def needs_its_image(container: ecs_pb2.ContainerDefinition, state: State) -> bool:
    """Whether nothing but the container's image says what it runs."""
    image = references.image_for(container.image, state)
    return not any(arguments(container, image)) and not is_left_out(container, state)


def first_that_needs_its_image(definitions: Iterable[ecs_pb2.RegisterTaskDefinitionRequest], state: State) -> str:
    """Return which container needs its image, and why, for people; empty when none does."""
    for definition in definitions:
        for container in definition.container_definitions:
            if needs_its_image(container, state):
                return (
                    f"container {container.name!r} of {definition.family} has no command, "
                    f"so that only its image {container.image!r} says what it runs"
                )
    return ""


def missing_command(container: ecs_pb2.ContainerDefinition, state: State) -> tuple[str, str] | None:
    """Return (why a container cannot run, what would help); None if it has a command, is left out, or can run in its image."""
    if not needs_its_image(container, state) or node_for_images(state):
        return None
    image = references.image_for(container.image, state)
    if image is None:
        why = f"container {container.name!r} has no command, and no Image says what {container.image!r} runs"
        return why, _image_hint(container)
    return f"the Image {image.pattern!r} has no command, and neither has container {container.name!r}", "add one"


def _image_hint(container: ecs_pb2.ContainerDefinition) -> str:
    pattern = f"*{container.image.rpartition('/')[2].partition('@')[0].partition(':')[0]}*"
    written = f'{{kind: Image, pattern: "{pattern}", command: [python3, app.py]}}'
    return f"add e.g. {written}, or run it in its image (--runtime docker)"


def runnable(definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State) -> ecs_pb2.RegisterTaskDefinitionRequest:
    """Return the task definition as it runs here: with what its Images say, without the containers that are left out.

    A container without a command stays without; `missing_command` says so.
    """
    copy = _without_left_out(definition, state)
    for container in copy.container_definitions:
        image = references.image_for(container.image, state)
        if image is not None:
            _apply_image(container, image)
    checked = {one.name for one in copy.container_definitions if has_check(one)}
    for container in copy.container_definitions:
        _wait_without_check(container, checked)
    return copy


def with_images(
    definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State
) -> ecs_pb2.RegisterTaskDefinitionRequest:
    """Return the task definition as a node runs it that has images: renamed as Images say, without what is left out.

    What stands in for an image (commands, folders, variables, checks) has no part in it.
    """
    copy = _without_left_out(definition, state)
    for container in copy.container_definitions:
        image = references.image_for(container.image, state)
        if image is not None and (image.image or image.build):
            container.image = image.image or build_reference(image.build)
    return copy


def _without_left_out(
    definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State
) -> ecs_pb2.RegisterTaskDefinitionRequest:
    """Return a copy without the containers that are left out, for which nobody waits either."""
    copy = ecs_pb2.RegisterTaskDefinitionRequest()
    copy.CopyFrom(definition)
    del copy.container_definitions[:]
    left_out = {one.name for one in definition.container_definitions if is_left_out(one, state)}
    for container in definition.container_definitions:
        if container.name not in left_out:
            copy.container_definitions.append(_without_waiting_for(container, left_out))
    return copy


def builds(definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State) -> dict[str, str]:
    """Return the images of a task definition that are built where they run: reference -> folder."""
    found = (references.image_for(one.image, state) for one in definition.container_definitions)
    return {build_reference(image.build): image.build for image in found if image is not None and image.build}


def build_reference(folder: str) -> str:
    """Return the reference of the image that is built of a folder: `tsunagu-build/NAME:HASH`, as a registry's rules allow it."""
    name = _NOT_IN_NAMES.sub("-", PurePosixPath(folder).name.lower()).strip("-") or "image"
    return f"tsunagu-build/{name}:{sha256(folder.encode()).hexdigest()[:_DIGITS]}"


def has_check(container: ecs_pb2.ContainerDefinition) -> bool:
    return container.HasField("health_check") and list(container.health_check.command[:1]) != [NO_CHECK]


def _wait_without_check(container: ecs_pb2.ContainerDefinition, checked: set[str]) -> None:
    """What an Image relieves of its check cannot become HEALTHY: who waits for that waits for its start."""
    for wanted in container.depends_on:
        if wanted.condition == "HEALTHY" and wanted.container_name not in checked:
            wanted.condition = "START"


def _without_waiting_for(container: ecs_pb2.ContainerDefinition, left_out: set[str]) -> ecs_pb2.ContainerDefinition:
    copy = ecs_pb2.ContainerDefinition()
    copy.CopyFrom(container)
    del copy.depends_on[:]
    copy.depends_on.extend(one for one in container.depends_on if one.container_name not in left_out)
    return copy


def _apply_image(container: ecs_pb2.ContainerDefinition, image: objects_pb2.Image) -> None:
    """Fill in what the container leaves to its image.

    The Image's working directory replaces the container's, which is a folder in the file system of a container image
    that does not exist here.
    """
    entry, command = arguments(container, image)
    container.entry_point[:] = entry
    container.command[:] = command
    if image.working_directory:
        container.working_directory = image.working_directory
    if image.HasField("health_check"):
        container.health_check.command[:] = ()
        container.health_check.MergeFrom(image.health_check)
    own = list(container.environment)
    overridden = {pair.name for pair in own}
    inherited = [
        ecs_pb2.KeyValuePair(name=name, value=value)
        for name, value in sorted(image.environment.items())
        if name not in overridden
    ]
    del container.environment[:]
    container.environment.extend(inherited + own)
