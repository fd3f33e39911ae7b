"""Notes: what a file says that is passed over, in one line for each file and reason.

AWS's files are full of such fields, so a line for each of them would hide what matters. The one rule: a note is said once
for a file, however many documents and containers it has, and names the fields without their indices.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tsunagu.model import ecs_fields, images
from tsunagu.model.deployments import alarms
from tsunagu.v1 import alarms_pb2, objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from google.protobuf.message import Message

    from tsunagu.model.manifests.reading import Document
    from tsunagu.model.rules.indexes import Indexes

_INDEX = re.compile(r"\[\d+\]")
_MOST_NAMED = 12
_WITH_SPEC = ("Cluster", "TaskDefinition", "Service")


def notes_for(documents: Iterable[Document], indexes: Indexes) -> Iterator[str]:
    """Yield the notes about documents that were accepted, file by file."""
    files: dict[str, list[Document]] = {}
    for document in documents:
        files.setdefault(document.file, []).append(document)
    for file, of_file in files.items():
        place = f"{file}: " if file else ""
        yield from (place + line for line in _of_file(of_file, indexes))
        if unused := _unused_images(of_file, indexes):
            yield f"{place}no container has an image like {unused}"


def _unused_images(documents: list[Document], indexes: Indexes) -> str:
    """The patterns of a file's Images that are for no container, which may well be for other files' ones."""
    images = [one.message for one in documents if isinstance(one.message, objects_pb2.Image)]
    references = indexes.image_references if images else frozenset()
    return _named(one.pattern for one in images if not any(fnmatchcase(name, one.pattern) for name in references))


def _of_file(documents: list[Document], indexes: Indexes) -> Iterator[str]:
    without_effect = _without_effect(documents, indexes)
    if empty := _named(path for one in documents for path in one.empty):
        yield f'says nothing (null or ""), read as absent: {empty}'
    if ignored := _named(path for one in documents for path in one.ignored):
        yield f"only AWS's output and updates have {ignored}; passed over"
    if unknown := _named(path for one in documents for path in one.unknown):
        yield f"unknown in AWS's output, passed over: {unknown}"
    if without_effect:
        yield "no effect here: " + "; ".join(f"{names} ({why})" for why, names in without_effect.items())


def _named(paths: Iterable[str]) -> str:
    """Paths without indices, each once, and no more than a line holds."""
    names = list(dict.fromkeys(_INDEX.sub("", path) for path in paths))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _without_effect(documents: list[Document], indexes: Indexes) -> Mapping[str, str]:
    """Why a field has no effect -> the fields."""
    found: dict[str, list[str]] = {}
    for document in documents:
        if document.kind in _WITH_SPEC:
            spec: Message = document.message.spec  # type: ignore[attr-defined]
            for path, why in ecs_fields.without_effect(spec, _runtime(document, indexes)):
                found.setdefault(why, []).append(path)
        elif isinstance(document.message, alarms_pb2.Alarm):
            for path, why in alarms.without_effect(document.message.spec):
                found.setdefault(why, []).append(path)
    return {why: _named(paths) for why, paths in found.items()}


def _runtime(document: Document, indexes: Indexes) -> str:
    """The runtime in which a document's fields act, or do not."""
    message, state = document.message, indexes.state
    if isinstance(message, objects_pb2.TaskDefinition):
        return ecs_fields.DOCKER if images.run_in_images(message.spec, state) else ecs_fields.LINUX
    return ecs_fields.DOCKER if images.node_for_images(state) else ecs_fields.LINUX
