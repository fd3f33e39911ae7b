"""What is served in the comparison: the resources that tsunagu makes of a namespace, and the objects these come from.

Rule: everyone serves the same bodies. They are made once and handed over in a file: lines of {"type", "name", "body"}.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.testing import objects
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec
from tsunagu.xds.resources import CDS, EDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tsunagu.v1 import objects_pb2
    from tsunagu.xds.resources import Resource

NAMESPACE = "bench"
TASKS = 3  # of each service
SHORT = {CDS: "CDS", EDS: "EDS"}


def name(number: int) -> str:
    """The envoy cluster of a service, and the name of its endpoints."""
    return f"svc/{NAMESPACE}/service-{number:05}"


def mesh(services: int) -> Iterator[objects_pb2.Object]:
    """A namespace of HTTP services, each with its tasks, as agents and controllers write them."""
    yield objects.namespace(NAMESPACE)
    yield objects.node()
    for number in range(services):
        short = f"service-{number:05}"
        revision = f"default/{short}/a1"
        port = objects.port(short)
        yield objects.revision(revision, port, namespace=NAMESPACE)
        yield objects.service(f"default/{short}", "a1")
        yield objects.address(short, _address(number, 127, 255), namespace=NAMESPACE)
        for task in range(TASKS):
            yield task_of(number, task)


def task_of(number: int, task: int, sequence: int = 0) -> objects_pb2.Object:
    """One of a service's tasks. A `sequence` other than 0 moves it: 11.a.b.c tells the client which change it sees."""
    ip = _address(sequence, 11, sequence >> 16 & 255) if sequence else _address(TASKS * number + task, 10, 0)
    short = f"service-{number:05}"
    return objects.task(f"default/{short}-{task}", f"default/{short}/a1", ip, namespace=NAMESPACE)


def needle(sequence: int) -> str:
    """What stands in an assignment since that change. The byte behind an address is a tag, so it ends there."""
    return _address(sequence, 11, sequence >> 16 & 255) + "\x18"


def resources(services: int) -> list[Resource]:
    """The clusters and the assignments of the namespace."""
    changes = [(ids.kind_of(one), one.meta.name, None, one) for one in mesh(services)]
    view, touched = View.empty().apply(changes, 1)
    updates = translate(View.empty(), view, touched, Codec())
    wanted = {f"ns/{NAMESPACE}"}
    made = [resource for update in updates if update.bundle in wanted for resource in update.upserts]
    return sorted((one for one in made if one.type_url in SHORT and one.name.startswith("svc/")), key=_order)


def write(path: Path, made: Sequence[Resource]) -> None:
    with path.open("w") as file:
        for one in made:
            body = base64.b64encode(one.body).decode()
            file.write(json.dumps({"type": SHORT[one.type_url], "name": one.name, "body": body}) + "\n")


def _order(resource: Resource) -> tuple[str, str]:
    return SHORT[resource.type_url], resource.name


def _address(number: int, first: int, second: int) -> str:
    return f"{first}.{second}.{number >> 8 & 255}.{number & 255}"
