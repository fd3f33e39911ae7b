"""Decodes YAML nodes into protobuf messages.

protobuf's ``json_format`` accepts "8080" as a number and snake_case names, knows no lines, and stops at the first error. The
one rule: a field is accepted only under AWS's own name and with its own type. Every error is collected with its place, and
decoding goes on. What says nothing (null, and "" where a word of a list or a name must stand) is as if it were not there; in
AWS's output so is what is newer than this program: fields that it does not know, and words of AWS's that it does not know.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model.errors import Issue
from tsunagu.model.manifests import templates, yaml_nodes
from tsunagu.model.rules.constraints import MUST, ONE_OR_MORE, PATTERNS, VALUES, join

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tsunagu.model.manifests.reading import Place

#: YAML aliases can multiply nodes; no real document has so many.
MOST_NODES = 100_000
DEEPEST = 50

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
}
_WORDS = {
    FieldDescriptor.CPPTYPE_INT32: "a whole number",
    FieldDescriptor.CPPTYPE_INT64: "a whole number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_STRING: "a text",
}
_TYPES: dict[int, tuple[type, ...]] = {
    FieldDescriptor.CPPTYPE_INT32: (int,),
    FieldDescriptor.CPPTYPE_INT64: (int,),
    FieldDescriptor.CPPTYPE_DOUBLE: (int, float),
    FieldDescriptor.CPPTYPE_FLOAT: (int, float),
    FieldDescriptor.CPPTYPE_STRING: (str,),
}


class TooLargeError(Exception):
    """A document has more than MOST_NODES nodes."""


class Decoder:
    """Decodes one document. ``lenient``: unknown fields, and unknown words where AWS has a list of them, are no errors.

    Invariant: ``places`` has the place of every path decoded so far, ``issues`` every error, ``empty`` the paths that say
    nothing, ``unknown`` those of unknown fields, and those of unknown words with the word, that were passed over;
    ``_void`` the paths of messages that mean nothing without such a word.
    """

    def __init__(self, file: str, *, lenient: bool = False) -> None:
        self.file = file
        self.lenient = lenient
        self.issues: list[Issue] = []
        self.places: dict[str, Place] = {}
        self.empty: list[str] = []
        self.unknown: list[str] = []
        self._void: set[str] = set()
        self._seen = 0

    def report(self, node: Node, path: str, message: str, suggestion: str = "") -> None:
        at = yaml_nodes.place(node)
        self.issues.append(Issue(self.file, at.line, at.column, path, message, suggestion))

    def fill(self, message: Message, node: Node, path: str = "", ignored: tuple[str, ...] = ()) -> list[str]:
        """Fill a message from a mapping. Return the paths of the fields that were skipped because ``ignored`` names them."""
        self._note(node, path)
        if not isinstance(node, MappingNode):
            self.report(node, path, f"expected a mapping, this is {yaml_nodes.type_words(node)}")
            return []
        fields = {field.json_name: field for field in message.DESCRIPTOR.fields}
        passed = []
        for key, name, value in self.pairs(node, path):
            place = join(path, name)
            if name in ignored and name not in fields:
                passed.append(place)
            elif name in fields:
                self.places.setdefault(place, yaml_nodes.place(key))
                known = f"{message.DESCRIPTOR.name}.{name}"
                if self._is_newer(known, value, place):
                    self._void |= {path} if name in MUST.get(message.DESCRIPTOR.name, ()) else set()
                elif not self._says_nothing(known, value, place):
                    self._fill_field(message, fields[name], value, place)
            elif self.lenient:
                meant = probable_field(name, fields)
                self.unknown.append(f"{place} ({meant})" if meant else place)
            else:
                self.report(key, place, "unknown field", probable_field(name, fields))
        return passed

    def _says_nothing(self, name: str, node: Node, path: str) -> bool:
        """Whether a value is null, or "" where only a word of a list or a name can stand; if so it is kept in mind."""
        if not isinstance(node, ScalarNode):
            return False
        blank = not node.value and bool(node.style) and (name in VALUES or name in PATTERNS)
        if blank or yaml_nodes.is_empty(node):
            self.empty.append(path)
            return True
        return False

    def _is_newer(self, name: str, node: Node, path: str) -> bool:
        """Whether a value of AWS's output is a word that AWS's model had not when this was made; if so it is kept in mind."""
        if not self.lenient or name not in VALUES or not isinstance(node, ScalarNode):
            return False
        word = yaml_nodes.scalar(node)
        if not word or not isinstance(word, str) or word in VALUES[name] or templates.sign_in(word):
            return False
        self.unknown.append(f"{path} {word!r}")
        return True

    def pairs(self, node: MappingNode, path: str) -> list[tuple[Node, str, Node]]:
        """(key node, key, value node) of each entry of a mapping; a repeated key is reported and left out."""
        seen: dict[str, tuple[Node, str, Node]] = {}
        for key, value in node.value:
            name = yaml_nodes.key_text(key)
            if name is None:
                self.report(key, path, "a field's name must be a text")
            elif name in seen:
                first = yaml_nodes.place(seen[name][0]).line
                self.report(key, join(path, name), f"is there twice, first in line {first}")
            else:
                seen[name] = (key, name, value)
        return list(seen.values())

    def _note(self, node: Node, path: str) -> None:
        self.places.setdefault(path, yaml_nodes.place(node))
        self._seen += 1
        if self._seen > MOST_NODES:
            raise TooLargeError

    def _fill_field(self, message: Message, field: Any, node: Node, path: str) -> None:
        self._note(node, path)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._map(message, field, node, path)
        elif field.is_repeated:
            self._list(message, field, node, path)
        elif field.message_type is not None:
            before = len(self.empty), len(self.issues)
            self._message(getattr(message, field.name), node, path)
            emptied = len(self.empty) > before[0] and len(self.issues) == before[1]
            nothing = emptied and not getattr(message, field.name).ByteSize()  # all that it says is nothing
            if nothing or path in self._void:
                message.ClearField(field.name)
        else:
            value = self._scalar(field.cpp_type, node, path)
            if value is not None:
                setattr(message, field.name, value)

    def _message(self, into: Message, node: Node, path: str) -> None:
        into.SetInParent()
        if into.DESCRIPTOR.full_name == "google.protobuf.Value":
            self._free_form(into, node, path, DEEPEST)
        else:
            self.fill(into, node, path)

    def _list(self, message: Message, field: Any, node: Node, path: str) -> None:
        name = f"{message.DESCRIPTOR.name}.{field.json_name}"
        alone = name in ONE_OR_MORE and isinstance(node, ScalarNode)
        if not isinstance(node, SequenceNode) and not alone:
            hint = _as_list(field, node)
            self.report(node, path, f"expected a list, this is {yaml_nodes.type_words(node)}", hint)
            return
        into = getattr(message, field.name)
        index = -1
        for element in [node] if alone else node.value:
            place = f"{path}[{index + 1}]"
            if self._is_newer(name, element, place) or self._says_nothing(name, element, place):
                continue
            index += 1
            self._note(element, place)
            if field.message_type is not None:
                self._message(into.add(), element, place)
                if place in self._void:
                    self._forget(place)
                    del into[-1]
                    index -= 1
            else:
                value = self._scalar(field.cpp_type, element, place)
                if value is not None:
                    into.append(value)

    def _forget(self, path: str) -> None:
        """Drop what is known of an element that is left out: the next one has its path."""
        self._void.discard(path)
        inside = (f"{path}.", f"{path}[")
        self.places = {one: at for one, at in self.places.items() if one != path and not one.startswith(inside)}

    def _map(self, message: Message, field: Any, node: Node, path: str) -> None:
        if not isinstance(node, MappingNode):
            self.report(node, path, f"expected a mapping, this is {yaml_nodes.type_words(node)}")
            return
        value_field = field.message_type.fields_by_name["value"]
        for _, name, element in self.pairs(node, path):
            place = join(path, name)
            if self._says_nothing("", element, place):
                continue
            self._note(element, place)
            value = self._scalar(value_field.cpp_type, element, place)
            if value is not None:
                getattr(message, field.name)[name] = value

    def text(self, node: Node, path: str) -> str | None:
        """A text that belongs to no message; None if it is none, which is reported."""
        value: str | None = self._scalar(FieldDescriptor.CPPTYPE_STRING, node, path)
        return value

    def _scalar(self, kind: int, node: Node, path: str) -> Any:
        """The value; None if it is of the wrong type or out of range, which is reported."""
        value = yaml_nodes.scalar(node) if isinstance(node, ScalarNode) else None
        if (tag := yaml_nodes.own_tag(node)) is not None:
            self.report(node, path, f"{tag} is a function of a template language", templates.RENDER)
            return None
        right = isinstance(value, bool) if kind == FieldDescriptor.CPPTYPE_BOOL else _is(value, _TYPES[kind])
        if not right:
            self.report(
                node, path, f"expected {_WORDS[kind]}, this is {yaml_nodes.type_words(node)}", _mend(kind, node)
            )
            return None
        low, high = _INTEGERS.get(kind, (0, 0))
        if kind in _INTEGERS and not low <= value <= high:  # type: ignore[operator]
            self.report(node, path, f"{value} is out of range")
            return None
        return value

    def _free_form(self, into: Any, node: Node, path: str, depth: int) -> None:
        """Decode any JSON value into a google.protobuf.Value."""
        self._note(node, path)
        if depth == 0:
            self.report(node, path, "it is nested too deeply")
        elif isinstance(node, MappingNode):
            into.struct_value.SetInParent()
            for _, name, value in self.pairs(node, path):
                self._free_form(into.struct_value.fields[name], value, join(path, name), depth - 1)
        elif isinstance(node, SequenceNode):
            into.list_value.SetInParent()
            for index, value in enumerate(node.value):
                self._free_form(into.list_value.values.add(), value, f"{path}[{index}]", depth - 1)
        elif isinstance(node, ScalarNode):
            _set_free_scalar(into, yaml_nodes.scalar(node))


def _set_free_scalar(into: Any, value: str | float | bool | None) -> None:
    if value is None:
        into.null_value = 0
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, str):
        into.string_value = value
    else:
        into.number_value = value


def _is_template(node: Node) -> bool:
    """Whether a mapping stands for a text that a template would hold: `{{ name }}`, or one of CloudFormation's functions."""
    if not isinstance(node, MappingNode) or len(node.value) != 1:
        return False
    key = node.value[0][0]
    return isinstance(key, MappingNode) or yaml_nodes.text_of(key).startswith(("Fn::", "Ref"))


def _is(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _mend(kind: int, node: Node) -> str:
    """A suggestion how to write the value, if only its quotes are wrong; else empty."""
    if not isinstance(node, ScalarNode):
        return templates.RENDER if _is_template(node) else ""
    if templates.sign_in(node.value):
        return templates.RENDER
    if kind == FieldDescriptor.CPPTYPE_STRING and node.value and not node.style:
        return f'write "{node.value}"'
    plain = yaml_nodes.scalar(ScalarNode(None, node.value, node.start_mark, node.end_mark)) if node.style else None
    return f"write {node.value}" if _is(plain, _TYPES.get(kind, (bool,))) or _is_flag(kind, plain) else ""


def _as_list(field: Any, node: Node) -> str:
    """A suggestion for a text in the place of a list of texts: its words, or itself as the only one."""
    if field.cpp_type != FieldDescriptor.CPPTYPE_STRING or not isinstance(node, ScalarNode) or not node.value:
        return ""
    if templates.sign_in(node.value):
        return templates.RENDER
    if field.name not in ("command", "entry_point"):
        return f"write {json.dumps([node.value], ensure_ascii=False)}"
    if field.containing_type.name == "HealthCheck":
        return f"write {json.dumps(['CMD-SHELL', node.value], ensure_ascii=False)}"
    return f"write {json.dumps(node.value.split(), ensure_ascii=False)}"


def _is_flag(kind: int, value: Any) -> bool:
    return kind == FieldDescriptor.CPPTYPE_BOOL and isinstance(value, bool)


def probable_field(wrong: str, names: Any) -> str:
    """Suggest the field that was probably meant: by spelling, else one that ends like it (``name`` -> ``serviceName``)."""
    by_spelling = did_you_mean(wrong, names)
    ending = [name for name in names if wrong and name.lower().endswith(wrong.lower())]
    return by_spelling or (f'did you mean "{ending[0]}"?' if ending else "")
