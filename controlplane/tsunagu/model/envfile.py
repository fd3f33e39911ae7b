"""Reads the file given by ``--env-file``: the values of secrets, one ``NAME=VALUE`` per line.

NAME is a ``secrets[].valueFrom`` (a name or an ARN) or a secret's own ``name``. The one rule: the value is everything after
the first ``=`` up to the end of the line, without one pair of quotes around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.model.errors import Issue, ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.model.manifests.reading import Source
    from tsunagu.v1 import ecs_pb2

_QUOTES = ('"', "'")


def read_env(source: Source) -> dict[str, str]:
    """Return name -> value. Raises ManifestError that lists every malformed line; it never shows a value."""
    values: dict[str, str] = {}
    issues: list[Issue] = []
    for number, line in enumerate(source.text.removeprefix("\ufeff").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals or not name.strip():
            issues.append(Issue(source.name, number, 1, "", "expected NAME=VALUE"))
        elif name.strip() in values:
            issues.append(Issue(source.name, number, 1, "", f"{name.strip()} is there twice"))
        else:
            values[name.strip()] = _unquoted(value.strip())
    if issues:
        raise ManifestError(issues)
    return values


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES
    return value[1:-1] if quoted else value


def value_of(secret: ecs_pb2.Secret, values: Mapping[str, str]) -> str | None:
    """Return a secret's value, looked up by its valueFrom, else by its own name; None if neither is there."""
    return values.get(secret.value_from, values.get(secret.name))
