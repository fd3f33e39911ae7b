"""Writes converted documents as one YAML manifest, each with a line that says from what it was made.

The one rule: the same documents give the same text.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.appmesh.documents import Made


def manifest(documents: Iterable[Made]) -> str:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=2, offset=0)
    yaml.width = 120
    texts = []
    for made in documents:
        written = io.StringIO()
        yaml.dump(_plain(made.document), written)
        texts.append(f"# {made.origin}\n{written.getvalue()}")
    return "---\n".join(texts)


def _plain(value: object) -> object:
    """The value without the reader's own types, which remember places and comments."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, str) else value
