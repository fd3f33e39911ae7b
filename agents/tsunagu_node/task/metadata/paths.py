"""What a request to the task metadata endpoint asks for, by its path. Pure.

Rule: what AWS would answer, for the paths of its versions 2, 3 and 4, and its own words for what is not there. (Source: the
Developer Guide's pages of each version; the words are those that ECS's agent answers with.) An ID in a path means a
container of the caller's own task; there is no other here, so another's ID is one that nobody has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: `what` is one of container, task, stats, task stats. `container`: its name; empty for the task."""

    what: str
    version: int
    container: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer. `body`: a JSON value, or a text that is sent as it is when `plain`."""

    status: int
    body: object
    plain: bool = False


NOT_FOUND: Final = Refusal(404, "404 page not found\n", plain=True)
_ONLY_GET: Final = Refusal(405, "Method Not Allowed\n", plain=True)
_CONTAINER: Final = "unable to get container ID from request: unable to get docker ID from v3 endpoint ID: {}"
_TASK: Final = "unable to get task {} from request: unable to get task Arn from v3 endpoint ID: {}"
_BY_ID: Final = re.compile(r"/v([34])/([^/]*)(?:/(task|taskWithTags|stats|task/stats))?")
_VERSION_2: Final = re.compile(r"/v2/(metadata|stats)(?:/([^/]+))?")
_CREDENTIALS: Final = re.compile(r"/v[12]/credentials(/.*)?")
_WHAT: Final = {None: "container", "taskWithTags": "task", "task/stats": "task stats"}
#: What is asked for -> how ECS's agent begins its refusal, and how it goes on.
_REFUSALS: Final = {
    "container": ("container metadata", _CONTAINER),
    "task": ("task metadata", _TASK.format("arn", "{}")),
    "stats": ("container stats", _TASK.format("ARN", "{}")),
    "task stats": ("task stats", _TASK.format("ARN", "{}")),
}
_VERSION_2_WHAT: Final = {("metadata", False): "task", ("metadata", True): "container", ("stats", False): "task stats"}


def wanted(method: str, target: str, containers: Mapping[str, str]) -> Wanted | Refusal:
    """Return what is asked for, or why there is no answer. `containers`: ID in a path, or the engine's -> container."""
    path = target.partition("?")[0].rstrip("/") or "/"
    if method not in ("GET", "HEAD"):
        return _ONLY_GET
    if found := _BY_ID.fullmatch(path):
        version, identifier, rest = found.groups()
        return _of(_WHAT.get(rest, rest), int(version), identifier, containers)
    if found := _VERSION_2.fullmatch(path):
        kind, identifier = found.groups()
        what = _VERSION_2_WHAT.get((kind, identifier is not None), "stats")
        return _of(what, 2, identifier, containers) if identifier else Wanted(what, 2)
    if found := _CREDENTIALS.fullmatch(path):
        return _no_credentials(found[1] is None)
    return NOT_FOUND


def _of(what: str, version: int, identifier: str, containers: Mapping[str, str]) -> Wanted | Refusal:
    name = containers.get(identifier)
    if name is None:
        handler, reason = _REFUSALS[what]
        return Refusal(404, f"V{version} {handler} handler: {reason.format(identifier)}")
    return Wanted(what, version, "" if what.startswith("task") else name)


def _no_credentials(unnamed: bool) -> Refusal:
    """There are no roles here (docs/adr/0026-task-metadata.md), so no ID of credentials is ever right."""
    code, words = ("NoIdInRequest", "No Credential ID in the request") if unnamed else ("InvalidIdInRequest", "")
    message = f"CredentialsV2Request: {words or 'Credentials not found'}"
    return Refusal(400, {"code": code, "message": message, "HTTPErrorCode": 400})
