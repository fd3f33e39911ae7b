"""A JSON Schema of manifests, for editors: names, types, values and what each field does here, while one writes.

The one rule: it is made from what validation itself goes by (the descriptors, ``constraints``, ``ecs_fields``), so it never
says otherwise. It cannot say all: references and rules between fields are ``tsunagu validate``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from tsunagu.model import ecs_fields, ids
from tsunagu.model.manifests import aws_files, overrides
from tsunagu.model.manifests.objects import OF_AWS, OF_OURS
from tsunagu.model.rules.constraints import LENGTHS, MUST, ONE_OR_MORE, PATTERNS, RANGES, VALUES
from tsunagu.model.rules.ecs_constraints import UNIONS
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {
    FieldDescriptor.CPPTYPE_INT32: "integer",
    FieldDescriptor.CPPTYPE_INT64: "integer",
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_FLOAT: "number",
    FieldDescriptor.CPPTYPE_BOOL: "boolean",
    FieldDescriptor.CPPTYPE_STRING: "string",
}
_ANSWER = "only AWS's output and updates have it; it is passed over"


def schema() -> Schema:
    """Return the schema of one document: of a ``kind``, or one of AWS's own files."""
    made = _Definitions()
    kinds = {kind: {"$ref": f"#/$defs/{made.kind(kind)}"} for kind in (*OF_AWS, *OF_OURS)}
    has_kind = {"required": ["kind"], "properties": {"kind": {"type": "string"}}}
    told = {
        "containerDefinitions": "TaskDefinition",
        "serviceName": "Service",
        "clusterName": "Cluster",
        "AlarmName": "Alarm",
    }
    return {
        "$schema": _DIALECT,
        "title": "A manifest of tsunagu, or one of AWS's files",
        "type": ["object", "array"],
        "properties": {
            "kind": {"enum": [*kinds, None], "description": "what the document is; AWS's own files have none"}
        },
        "allOf": [
            *(_when({"required": ["kind"], "properties": {"kind": {"const": kind}}}, kinds[kind]) for kind in kinds),
            *(_when({"required": [name], "not": has_kind}, kinds[kind]) for name, kind in told.items()),
        ],
        "$defs": made.found,
    }


def _when(condition: Schema, then: Schema) -> Schema:
    return {"if": {"type": "object", **condition}, "then": then}


class _Definitions:
    """Collects the schemas of messages. Invariant: ``found`` has every message that another one refers to."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def kind(self, kind: str) -> str:
        """Add the schema of a kind, as users write it; return its name."""
        if kind in aws_files.REQUESTS:
            request = aws_files.REQUESTS[kind]
            made = self._message(request)
            beside = (*aws_files.ANSWERED[request.name], *aws_files.ignored_fields(kind, described=False))
            made["properties"] |= {name: {"description": _ANSWER} for name in beside if name not in made["properties"]}
            if kind == "Service":
                made["properties"]["tsunagu"] = self._reference(objects_pb2.ServiceSettings.DESCRIPTOR)
                made["required"] = [name for name in made["required"] if name not in ("serviceName", "taskDefinition")]
        else:
            of_ours: type[Message] = objects_pb2.Override if kind == overrides.KIND else ids.kind(kind).message
            made = self._message(of_ours.DESCRIPTOR)  # type: ignore[arg-type]
            made["properties"]["name"] = {"type": ["string", "null"]}
            if kind not in ("Image", overrides.KIND):
                made["required"] = [*made.get("required", []), "name"]
        if kind == "Image":
            check = made["properties"]["healthCheck"]
            made["properties"]["healthCheck"] = {
                "anyOf": [check, {"const": "none"}, {"type": "array", "items": {"type": "string"}}]
            }
        made["properties"]["kind"] = {"type": ["string", "null"]}
        self.found[kind] = made
        return kind

    def _reference(self, message: Descriptor) -> Schema:
        if message.full_name == "google.protobuf.Value":
            return {}
        if message.name not in self.found:
            self.found[message.name] = {}  # a message may hold itself
            self.found[message.name] |= self._message(message)
        return {"$ref": f"#/$defs/{message.name}"}

    def _message(self, message: Descriptor) -> Schema:
        made: Schema = {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {one.json_name: self._field(message, one) for one in message.fields},
            "required": list(MUST.get(message.name, ())),
        }
        if message.name in UNIONS:
            made |= {"minProperties": 1, "maxProperties": 1}
        return made

    def _field(self, message: Descriptor, field: FieldDescriptor) -> Schema:
        name = f"{message.name}.{field.json_name}"
        made = self._type(name, field)
        row = ecs_fields.table().get(name)
        if row is not None and row.effect != ecs_fields.ACTS:
            where = f"{row.effect} by the linux runtime" if row.in_docker else row.effect
            made = {**made, "description": f"{where}: {row.why}"}
            if row.effect == ecs_fields.REFUSED:
                made["deprecated"] = True
        return made

    def _type(self, name: str, field: FieldDescriptor) -> Schema:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}}
        one = self._reference(field.message_type) if field.message_type is not None else _scalar(name, field)
        if not field.is_repeated:
            return one
        limit = {"maxItems": LENGTHS[name]} if name in LENGTHS else {}
        several: Schema = {"type": ["array", "null"], "items": one, **limit}
        return {"anyOf": [several, one]} if name in ONE_OR_MORE else several


def _scalar(name: str, field: FieldDescriptor) -> Schema:
    made: Schema = {"type": [_TYPES[field.cpp_type], "null"]}
    if name in VALUES:
        made["enum"] = [*VALUES[name], "", None]
    if name in PATTERNS:
        expression = PATTERNS[name].expression.pattern.replace(r"\Z", "$")
        made["pattern"] = f"^(?:{expression})?$"
        made["description"] = PATTERNS[name].words
    if name in RANGES:
        made["minimum"], made["maximum"] = RANGES[name]
    return made
