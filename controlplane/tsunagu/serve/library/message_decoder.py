"""Decodes YAML nodes into messages of envoy_data_plane, by the fields that the message classes declare.

betterproto2's own way from dictionaries knows no lines, stops at the first fault, and passes over names that it does not
know. Rule: a name is a field of its message, or an error with the nearest one; a value has its field's type. As in
protobuf's JSON, names may be in camelCase, numbers in quotes, and durations are texts such as "1.5s".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from tsunagu.kit.spelling import did_you_mean
from tsunagu.serve.library.message_values import (
    BOOLS,
    Fault,
    duration,
    enum_value,
    is_null,
    is_number,
    is_quoted,
    scalar,
    text_of,
    time_value,
    words_for,
)
from tsunagu.serve.library.resource_files import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARY = "envoy_data_plane"
_WELL_KNOWN = import_module(f"{_LIBRARY}.google.protobuf")
_PREFIX = "type.googleapis.com/"
_MOST_NODES = 200_000  # YAML's aliases multiply nodes; no real file has so many
#: What stands in `static_resources`, or by itself.
_PARTS = {
    "clusters": "envoy.config.cluster.v3.Cluster",
    "listeners": "envoy.config.listener.v3.Listener",
    "secrets": "envoy.extensions.transport_sockets.tls.v3.Secret",
}


class _TooMany(Exception):
    """The text has more values than anybody writes."""


class Decoder:
    """Decodes one text. `problems` has every fault that was found; `type_url` is the type of documents that say none."""

    def __init__(self, file: str, type_url: str = "") -> None:
        self.file = file
        self._type = type_url.rpartition("/")[2]
        self.problems: list[Problem] = []
        self._seen = 0

    def report(self, node: Node, path: str, message: str) -> None:
        """Note a fault at a node."""
        mark = node.start_mark
        self.problems.append(Problem(self.file, mark.line + 1, mark.column + 1, path, message))

    def messages(self, text: str) -> Iterator[tuple[str, Node, Any]]:
        """The resources of a text, each with its path and its node."""
        try:
            for document in self._compose(text):
                for path, node, name in self._find(document):
                    message = self._typed(node, path, name)
                    if message is not None:
                        yield path, node, message
        except _TooMany:
            self._whole(f"there are more than {_MOST_NODES} values in it")

    # Where resources are.

    def _compose(self, text: str) -> list[Node]:
        if text.lstrip().startswith("{"):
            text = text.replace("\t", " ")  # as JSON may be indented
        found: list[Node] = []
        try:
            nodes = list(YAML(typ="safe", pure=True).compose_all(text))
            found = [one for one in nodes if one is not None and not is_null(one)]
        except RecursionError:
            self._whole("it is nested too deeply")
        except (YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            words = getattr(error, "problem", None) or str(error).partition("\n")[0]
            at = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self._whole(f"this is neither YAML nor JSON: {words}", *at)
        else:
            if not found:
                self._whole("there is nothing in it; what has no resources says so: resources: []")
        return found

    def _whole(self, message: str, line: int = 1, column: int = 1) -> None:
        self.problems.append(Problem(self.file, line, column, "", message))

    def _find(self, node: Node, path: str = "") -> Iterator[tuple[str, Node, str]]:
        """(path, node, type) of the resources in a document; an empty type: its `@type` says it."""
        if isinstance(node, SequenceNode):
            for at, one in enumerate(node.value):
                yield f"{path}[{at}]", one, ""
            return
        if not isinstance(node, MappingNode):
            self.report(node, path, f"expected resources, this is {words_for(node)}")
            return
        entries = {name: value for _, name, value in self._pairs(node, path)}
        if "@type" in entries or (self._type and not path):
            yield path, node, "" if "@type" in entries else self._type
            return
        known = False
        for name, value in entries.items():
            if name in ("static_resources", "resources"):
                known = True
                yield from self._find(value, _join(path, name))
            elif name in _PARTS:
                known = True
                yield from self._part(value, _join(path, name), _PARTS[name])
        if not known:
            wanted = ["@type", "resources", "static_resources", *_PARTS]
            hint = did_you_mean(next(iter(entries), ""), wanted, f"a document has one of {', '.join(wanted)}")
            self.report(node, path, f"there are no resources in this: {hint}")

    def _part(self, node: Node, path: str, name: str) -> Iterator[tuple[str, Node, str]]:
        if not isinstance(node, SequenceNode):
            self.report(node, path, f"expected a list, this is {words_for(node)}")
            return
        for at, one in enumerate(node.value):
            yield f"{path}[{at}]", one, name

    # Messages.

    def _typed(self, node: Node, path: str, name: str) -> Any:
        """The message of a node, of a type that is known (a full name), or said by its `@type`."""
        if not isinstance(node, MappingNode):
            self.report(node, path, f"expected a mapping, this is {words_for(node)}")
            return None
        said = next((value for key, value in node.value if text_of(key) == "@type"), None)
        if not name and said is None:
            self.report(node, path, f"a resource says what it is: '@type': {_PREFIX}envoy.config.cluster.v3.Cluster")
            return None
        url = text_of(said) if said is not None else _PREFIX + name
        try:
            cls = _class(url)
        except Fault as fault:
            self.report(said or node, _join(path, "@type"), str(fault))
            return None
        return self._message(cls, node, path, typed=True)

    def _message(self, cls: Any, node: Node, path: str, *, typed: bool = False) -> Any:
        if not isinstance(node, MappingNode):
            self.report(node, path, f"expected a mapping, this is {words_for(node)}")
            return None
        before = len(self.problems)
        fields = cls._betterproto.meta_by_field_name  # it has no public table
        names = {alias: field for field in fields for alias in (field, _camel(field))}
        values: dict[str, Any] = {}
        for key, name, value in self._pairs(node, path):
            if typed and name == "@type":
                continue
            field = names.get(name)
            if field is None:
                hint = did_you_mean(name, fields)
                kind = cls.__name__
                self.report(key, _join(path, name), f"{kind} has no such field" + (f": {hint}" if hint else ""))
            elif not is_null(value):
                values[field] = self._field(cls, field, value, _join(path, name))
        if len(self.problems) > before:
            return None
        try:
            return cls(**values)
        except ValueError as error:  # pydantic's: two of a oneof, a number out of its range
            self.report(node, path, _reason(error))
            return None

    def _field(self, cls: Any, field: str, node: Node, path: str) -> Any:
        meta, kind = cls._betterproto.meta_by_field_name[field], cls._betterproto.cls_by_field[field]
        if meta.map_meta is not None:
            if not isinstance(node, MappingNode):
                self.report(node, path, f"expected a mapping, this is {words_for(node)}")
                return {}
            of, inner = cls._betterproto.cls_by_field[f"{field}.value"], meta.map_meta[1]
            pairs = [(self._key(meta.map_meta[0], key, path), key, value) for key, _, value in self._pairs(node, path)]
            return {name: self._value(inner, of, value, _join(path, text_of(key))) for name, key, value in pairs}
        if meta.repeated:
            if not isinstance(node, SequenceNode):
                self.report(node, path, f"expected a list, this is {words_for(node)}")
                return []
            return [self._value(meta, kind, one, f"{path}[{at}]") for at, one in enumerate(node.value)]
        return self._value(meta, kind, node, path)

    def _key(self, meta: Any, node: Node, path: str) -> Any:
        return self._checked(lambda: scalar(meta.proto_type, node), node, path)

    def _value(self, meta: Any, kind: Any, node: Node, path: str) -> Any:
        self._count()
        if meta.proto_type == "enum":
            return self._checked(lambda: enum_value(kind, node), node, path)
        if meta.proto_type != "message":
            return self._checked(lambda: scalar(meta.proto_type, node), node, path)
        if kind is timedelta:
            return self._checked(lambda: duration(node), node, path)
        if kind is datetime:
            return self._checked(lambda: time_value(node), node, path)
        if kind in (int, float, bool, str, bytes):  # a wrapper: UInt32Value...
            inner = meta.unwrap()._betterproto.meta_by_field_name["value"].proto_type  # noqa: SLF001
            return self._checked(lambda: scalar(inner, node), node, path)
        return self._nested(kind, node, path)

    def _nested(self, kind: Any, node: Node, path: str) -> Any:
        if kind is _WELL_KNOWN.Any:
            message = self._typed(node, path, "")
            return _WELL_KNOWN.Any.pack(message) if message is not None else None
        if kind is _WELL_KNOWN.Struct and isinstance(node, MappingNode):
            return self._struct(node)
        if kind is _WELL_KNOWN.Value:
            return self._free(node)
        if kind is _WELL_KNOWN.ListValue and isinstance(node, SequenceNode):
            return _WELL_KNOWN.ListValue(values=[self._free(one) for one in node.value])
        return self._message(kind, node, path)

    def _free(self, node: Node) -> Any:
        """A google.protobuf.Value of whatever there is."""
        self._count()
        if isinstance(node, MappingNode):
            return _WELL_KNOWN.Value(struct_value=self._struct(node))
        if isinstance(node, SequenceNode):
            return _WELL_KNOWN.Value(list_value=_WELL_KNOWN.ListValue(values=[self._free(one) for one in node.value]))
        text = text_of(node)
        if is_null(node):
            return _WELL_KNOWN.Value(null_value=_WELL_KNOWN.NullValue(0))
        if not is_quoted(node) and text in BOOLS:
            return _WELL_KNOWN.Value(bool_value=BOOLS[text])
        if not is_quoted(node) and is_number(text):
            return _WELL_KNOWN.Value(number_value=float(text))
        return _WELL_KNOWN.Value(string_value=text)

    def _struct(self, node: MappingNode) -> Any:
        return _WELL_KNOWN.Struct(fields={text_of(key): self._free(value) for key, value in node.value})

    def _count(self) -> None:
        self._seen += 1
        if self._seen > _MOST_NODES:
            raise _TooMany

    def _checked(self, read: Any, node: Node, path: str) -> Any:
        try:
            return read()
        except Fault as fault:
            self.report(node, path, str(fault))
            return None

    def _pairs(self, node: MappingNode, path: str) -> Iterator[tuple[Node, str, Node]]:
        """(key, its text, value); a key that is there twice is an error."""
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = text_of(key)
            if name in lines:
                self.report(key, _join(path, name), f"is there twice, first in line {lines[name]}")
                continue
            lines[name] = key.start_mark.line + 1
            yield key, name, value


def _class(url: str) -> Any:
    """The class of a type URL. Raises Fault."""
    name = url.removeprefix(_PREFIX)
    package, _, message = name.rpartition(".")
    try:
        module = import_module(f"{_LIBRARY}.{package}")
    except (ModuleNotFoundError, ValueError):
        hint = did_you_mean(package, _packages())
        raise Fault(f"{name!r} is no message of Envoy's" + (f": {hint}" if hint else "")) from None
    found = module.__dict__.get("default_message_pool")
    cls = found.url_to_type.get(_PREFIX + name) if found is not None else None
    if cls is None:
        hint = did_you_mean(message, getattr(module, "__all__", ()))
        raise Fault(f"{package} has no message {message!r}" + (f": {hint}" if hint else ""))
    return cls


def _packages() -> list[str]:
    root = Path(str(_WELL_KNOWN.__file__)).parents[2]
    found = (path.parent.relative_to(root) for path in (root / "envoy").rglob("__init__.py"))
    return [".".join(path.parts) for path in found]


def _reason(error: ValueError) -> str:
    """The first sentence of pydantic's error; its other lines are about itself."""
    found: Any = getattr(error, "errors", None)
    return str(found()[0]["msg"]).removeprefix("Value error, ") if found is not None else str(error)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
