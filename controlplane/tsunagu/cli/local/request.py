"""What `up` is asked to run: manifests, secrets and published ports, read and validated before anything is applied.

Rule: a mesh begins empty, so every fault of these is found here, with its file and line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.cli.local import publish
from tsunagu.client import apply, manifest_files
from tsunagu.model import ids, images
from tsunagu.model.rules.indexes import Indexes
from tsunagu.model.rules.validate import state_after
from tsunagu.v1 import objects_pb2
from tsunagu_node.runtime.choice import Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tsunagu.cli.local.runtime import Choices
    from tsunagu.model.errors import Issue
    from tsunagu.model.manifests.reading import CommandLine, Document
    from tsunagu.model.references import State
    from tsunagu_node.runtime.choice import Choice


@dataclass(frozen=True, slots=True)
class Request:
    """A validated request: the documents to apply, the values of their secrets, the ports to publish, what runs the tasks.

    ``notes``: of reading the files. ``quiet``: no notes are shown.
    """

    documents: Sequence[Document]
    secrets: Mapping[str, str]
    published: Sequence[publish.PublishedPort]
    runtimes: Choices
    notes: Sequence[Issue] = ()
    quiet: bool = False

    @property
    def gateways(self) -> Sequence[Document]:
        """The documents that publish ports of this machine."""
        return [document for document in self.documents if document.kind == "Gateway"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of a request. ``choose``: what the manifests need -> the runtimes."""

    paths: Sequence[Path]
    publish: Sequence[str]
    env_file: Path | None
    choose: Callable[[Needs], Choices]
    names: CommandLine | None = None
    quiet: bool = False


def read_request(asked: Asked) -> Request:
    """Read and validate what the options of `up` name. Raises ManifestError and CliError."""
    secrets = manifest_files.read_secrets(asked.env_file)
    reading = manifest_files.read_all(asked.paths, asked.names)
    published = [publish.parse(text) for text in asked.publish]
    publish.check_twice(published)
    runtimes = asked.choose(needs(reading.documents))
    begun = with_nodes(runtimes)
    made = apply.planned(reading, begun, secrets)
    documents = reading.documents
    indexes = Indexes(state_after({}, [change.object for change in made.changes if change.object is not None]), {})
    gateways = publish.documents(published, indexes.aliases)
    if gateways:
        apply.planned([*documents, *gateways], begun, secrets)
    return Request([*documents, *gateways], secrets, published, runtimes, reading.notes, asked.quiet)


def needs(documents: Iterable[Document]) -> Needs:
    """Return what the documents need of the runtimes."""
    kinds = ("Image", "TaskDefinition")
    objects = [ids.make(one.kind, one.name, one.message) for one in documents if one.kind in kinds]
    definitions = [obj.task_definition.spec for obj in objects if ids.kind_of(obj) == "TaskDefinition"]
    state = state_after({}, objects)
    return Needs(
        images.first_that_needs_its_image(definitions, state), images.first_that_is_stood_in(definitions, state)
    )


def with_nodes(made: Choices) -> State:
    """Return the objects of a mesh that has just begun: its nodes, as they will register themselves."""
    return {"Node": {one.node: ids.make("Node", one.node, _node(one)) for one in made}}


def _node(made: Choice) -> objects_pb2.Node:
    settings = made.settings
    return objects_pb2.Node(runtime=made.kind, allowed=sorted(settings.allow), project=settings.project)
