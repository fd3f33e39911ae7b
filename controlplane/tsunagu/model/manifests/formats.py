"""Reads manifests: YAML or JSON with a ``kind:`` and the ECS fields, or AWS's own files.

AWS's files are the input of ``aws ecs register-task-definition --cli-input-json`` and the output of ``describe-*``. The one
rule: documents, issues and notes result from the texts alone. Nothing is looked up, so a text means the same everywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model.errors import Issue
from tsunagu.model.manifests import aws_files, foreign, overrides, templates, yaml_nodes
from tsunagu.model.manifests.compose import compose
from tsunagu.model.manifests.decoder import TooLargeError
from tsunagu.model.manifests.objects import OF_AWS, OF_OURS, Objects
from tsunagu.model.manifests.reading import CommandLine, Document, Place, Reading, Source
from tsunagu.model.rules.constraints import words

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SUFFIXES", "CommandLine", "Document", "Place", "Reading", "Source", "read", "read_all"]

#: Files with these endings are manifests.
SUFFIXES = (".yaml", ".yml", ".json")
_WRITTEN = (*OF_AWS, *OF_OURS)
#: Signs in a text that cannot be parsed that it was to be ours.
_OURS = re.compile(
    rf"\b(containerDefinitions|serviceName|serviceConnectConfiguration)\b|^kind:\s*({'|'.join(_WRITTEN)})\s*$",
    re.MULTILINE,
)


def read(sources: Iterable[Source]) -> tuple[Document, ...]:
    """Read every document of every text, in order. Raises ManifestError with all issues of all texts."""
    return read_all(sources).sound()


def read_all(sources: Iterable[Source], names: CommandLine | None = None) -> Reading:
    """Read every document of every text, in order, with all issues and notes."""
    added = names or CommandLine()
    objects = Objects(added)
    reader = _Reader(objects)
    for source in sources:
        reader.read(source)
    changed = overrides.applied(objects.documents, added.sets)
    issues = [*reader.issues, *objects.issues, *objects.leftovers(), *changed.issues]
    notes = {(one.file, one.message): one for one in (*reader.notes, *changed.notes)}
    return Reading(tuple(changed.documents), tuple(sorted(issues, key=_by_place)), tuple(notes.values()))


def _by_place(one: Issue) -> tuple[str, int, int]:
    return one.file, one.line, one.column


class _Reader:
    """Finds out what each document is, and gives it to ``objects``."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._source = Source("", "")
        self.issues: list[Issue] = []
        self.notes: list[Issue] = []

    def read(self, source: Source) -> None:
        self._source = source
        self._objects.maybe_template = templates.maybe_in(source.text)
        roots, unreadable = compose(source)
        known = foreign.recognise_text(source.name, source.text, readable=not unreadable)
        if known is not None:
            first = unreadable[0] if unreadable else Issue(source.name, 1, 1, "", "")
            self._not_ours(first, f"is {known.what}, which is not read", known.road)
        elif unreadable and not source.chosen and not _OURS.search(source.text):
            self.notes += [Issue(source.name, one.line, 0, "", f"passed over: {one.message}") for one in unreadable]
        else:
            self.issues += unreadable
            for root in roots:
                self._guarded(root)

    def _guarded(self, root: Node) -> None:
        try:
            self._read_root(root)
        except (TooLargeError, RecursionError):
            self._report(root, "the document is too large")

    def _read_root(self, root: Node) -> None:
        written = yaml_nodes.value_of(root, "kind")
        if isinstance(root, SequenceNode):
            self._read_list(root)
        elif not isinstance(root, MappingNode):
            self._unknown(root, f"a document is a mapping, this is {yaml_nodes.type_words(root)}", "")
        elif (
            written is not None and not yaml_nodes.is_empty(written) and "apiVersion" not in yaml_nodes.key_texts(root)
        ):
            self._read_kind(root, written)
        else:
            self._read_aws_file(root)

    def _read_kind(self, root: MappingNode, written: Node) -> None:
        """Read a document that has a ``kind:``."""
        kind = yaml_nodes.text_of(written)
        if kind in _WRITTEN:
            self._objects.add(self._source.name, kind, root)
            return
        meant = did_you_mean(kind, _WRITTEN)
        if meant or self._source.chosen or aws_files.request_kind(root):
            self._report(written, f"there is no such kind; the kinds are {words(_WRITTEN)}", meant, "kind")
        else:
            self._unknown(written, f"{kind!r} is no kind of ours", "")

    def _read_aws_file(self, root: MappingNode) -> None:
        """Read one of AWS's own files: output with one or several objects, or a request."""
        answer = aws_files.answer(root)
        told = aws_files.is_told(root) and yaml_nodes.value_of(root, foreign.DOCKERRUN) is None
        known = None if told or (answer and (answer.objects or answer.arns)) else foreign.recognise(root)
        if answer is not None and known is None:
            self._read_answer(root, answer)
        elif known is not None:
            self._not_ours(self._at(root), f"is {known.what}, which is not read", known.road)
        elif kind := aws_files.request_kind(root):
            self._objects.add(self._source.name, kind, root)
        else:
            self._part_or_unknown(root, set(yaml_nodes.key_texts(root)))

    def _read_answer(self, root: MappingNode, answer: aws_files.Answer) -> None:
        for kind, node in answer.objects:
            self._objects.add(self._source.name, kind, node)
        for kind, node in answer.arns:
            self._unknown(node, f"lists names of {kind}s, not what they are", f"{aws_files.DESCRIBE[kind]} tells that")
        for node, failure in answer.failures:
            self._note(node, f"AWS did not describe {failure}", "failures")
        if answer.beside and answer.objects:
            self._note(root, f"passed over in this answer: {words(answer.beside)}")
        if not answer.objects and not answer.arns:
            hint = "is the name right that was asked for, and the cluster?"
            failed = f" ({answer.failures[0][1]})" if answer.failures else ""
            self._unknown(root, f"this answer holds nothing{failed}", hint)

    def _read_list(self, root: SequenceNode) -> None:
        """Read a list of requests or described objects, as ``--query`` and tools make them; explain any other list."""
        elements = list(yaml_nodes.items(root))
        kinds = [aws_files.request_kind(one) for one in elements if isinstance(one, MappingNode)]
        names = {name for one in elements for name in yaml_nodes.key_texts(one)}
        known = foreign.recognise(elements[0]) if elements else None
        if elements and all(kinds) and len(kinds) == len(elements) and aws_files.part_of(names)[0] == "":
            for kind, one in zip(kinds, elements, strict=True):
                self._objects.add(self._source.name, kind, one)
        elif elements and all(yaml_nodes.text_of(one).startswith("arn:") for one in elements):
            self._unknown(
                root, "a list of ARNs", "`aws ecs describe-services` or `describe-task-definition` tells what they are"
            )
        elif known is not None:
            self._not_ours(self._at(root), f"is {known.what}, which is not read", known.road)
        else:
            self._part_or_unknown(root, names)

    def _part_or_unknown(self, root: Node, names: set[str]) -> None:
        """Report a document of which no kind is known, with what it seems to be a part of, or to be spelled like."""
        part, where = aws_files.part_of(names)
        respelled = aws_files.respelled(names)
        listed = isinstance(root, SequenceNode)
        if part:
            what = "a list of" if listed else "the fields of a"
            self._unknown(root, f"this is {what} {part} only", f"write it as {where}")
        elif respelled[0]:
            self._unknown(root, f"its fields are not spelled as in AWS's API ({respelled[0]})", respelled[1])
        elif listed:
            self._unknown(root, "a document is a mapping, this is a list", "")
        else:
            hint = f"begin it with one of: {words('kind: ' + one for one in _WRITTEN)}"
            self._unknown(root, "cannot tell what this is: it has no `kind`, and it is no file of AWS ECS", hint)

    def _at(self, node: Node) -> Issue:
        at = yaml_nodes.place(node)
        return Issue(self._source.name, at.line, at.column, "", "")

    def _unknown(self, node: Node, message: str, hint: str) -> None:
        self._not_ours(self._at(node), message, hint)

    def _not_ours(self, at: Issue, message: str, road: str) -> None:
        """Report a document that gives no object; in a folder it is passed over."""
        if self._source.chosen:
            self.issues.append(Issue(at.file, at.line, at.column, "", message, road))
        else:
            self.notes.append(Issue(at.file, at.line, at.column, "", f"passed over: {message}", road))

    def _report(self, node: Node, message: str, suggestion: str = "", path: str = "") -> None:
        at = yaml_nodes.place(node)
        self.issues.append(Issue(self._source.name, at.line, at.column, path, message, suggestion))

    def _note(self, node: Node, message: str, path: str = "") -> None:
        at = yaml_nodes.place(node)
        self.notes.append(Issue(self._source.name, at.line, at.column, path, message))
