"""Resources written down in YAML or JSON by Envoy's own names, as Envoy's documentation and its dumps have them.

    resources_from(Path("edge.yaml"))
    resources_from('''
    static_resources:
      clusters: [{name: app, type: STATIC, load_assignment: {...}}]
    ''')

Rule: a file is read whole or not at all, and every fault in it is told at once, with line, field and the nearest name. So
whoever follows a file keeps the last good state until the file is good again.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tsunagu.serve.library.messages import NotAResource, resource
from tsunagu.xds.resources import SHORT, BadResource

if TYPE_CHECKING:
    from types import ModuleType

    from tsunagu.xds.resources import Resource


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in a text. `line` and `column` count from 1; `field` is its path; empty: of the whole."""

    file: str
    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}:{self.column}: {field}{self.message}"


class UnreadableResources(ValueError):
    """A text that does not say what its resources are; `problems` are its faults, by line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def resources_from(source: Path | str, *, type_url: str = "") -> list[Resource]:
    """Return the resources of a file, or of a text: a str of one line is a path, as a Path is, any other is the text.

    Documents are resources with their `@type`, lists of these, mappings with `resources` (Envoy's own discovery files), or
    with `static_resources` or its parts `clusters`, `listeners` and `secrets`. With `type_url` (or a short name: CDS) a
    document is one resource of that type, unless its `@type` says another. Needs `tsunagu[mesh]`. Raises
    UnreadableResources, and OSError when the file cannot be read.
    """
    file, text = _read(source)
    decoder = _decoder().Decoder(file, SHORT.get(type_url, type_url))
    made: dict[tuple[str, str], Resource] = {}
    for path, node, message in decoder.messages(text):
        try:
            one = resource(message)
        except (NotAResource, BadResource) as error:
            decoder.report(node, path, str(error))
            continue
        if (one.type_url, one.name) in made:
            decoder.report(node, path, f"{one.name!r} is there twice")
        made[one.type_url, one.name] = one
    if decoder.problems:
        raise UnreadableResources(tuple(sorted(decoder.problems, key=lambda one: (one.line, one.column))))
    return list(made.values())


def _read(source: Path | str) -> tuple[str, str]:
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith(("{", "["))):
        return "text", source
    path = Path(source)
    try:
        return str(path), path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        problem = Problem(str(path), 1, 1, "", "this is no text in UTF-8")
        raise UnreadableResources((problem,)) from None


def _decoder() -> ModuleType:
    """The decoder, and with it the libraries that only those who read files need."""
    try:
        return import_module("tsunagu.serve.library.message_decoder")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"resources_from needs {error.name}: pip install 'tsunagu[mesh]'", name=error.name
        ) from None
