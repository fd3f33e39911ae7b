"""Says what a change of an object changes, field by field, for ``apply --dry-run``.

The one rule: a field is called as in a manifest, elements of a list by their name where they have one, and values that look
like secrets are masked as everywhere.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

from tsunagu.model import ids, masking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.v1 import objects_pb2

_LONGEST = 60
_NOT_WRITTEN = ("status", "revision", "forcedDeployments")  # by users


def difference(before: objects_pb2.Object, after: objects_pb2.Object, *, unmask: bool = False) -> Iterator[str]:
    """Yield a line for each field that differs: ``+ path: value``, ``- path: value`` or ``path: value -> value``.

    ``unmask``: also values that look like secrets; those of secrets themselves are never shown.
    """
    if ids.kind_of(after) == "SecretValue":
        yield f"value: {masking.MASK} -> {masking.MASK}"
        return
    old, new = _written(before), _written(after)
    values = dict(_flat(old)), dict(_flat(new))
    shown = values if unmask else (dict(_flat(masking.masked(old))), dict(_flat(masking.masked(new))))
    for path in dict.fromkeys((*values[0], *values[1])):
        was, now = (path in one for one in values)
        if not was:
            yield f"+ {path}: {_text(shown[1][path])}"
        elif not now:
            yield f"- {path}: {_text(shown[0][path])}"
        elif values[0][path] != values[1][path]:
            yield f"{path}: {_text(shown[0][path])} -> {_text(shown[1][path])}"


def _written(obj: objects_pb2.Object) -> dict[str, Any]:
    """The fields of an object as a manifest has them."""
    fields: dict[str, Any] = MessageToDict(ids.body(obj))
    spec = fields.pop("spec", {})
    settings = {"tsunagu": fields.pop("settings")} if "settings" in fields else {}
    return {**spec, **settings, **{name: value for name, value in fields.items() if name not in _NOT_WRITTEN}}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every field that holds neither a mapping nor a list of mappings."""
    if isinstance(value, dict):
        if set(value) == {"name", "value"}:  # a variable
            yield path, value["value"]
            return
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{inner.get('name', index)}]")
    else:
        yield path, value


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
