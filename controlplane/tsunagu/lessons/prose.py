"""The prose of lessons, as it stands in their files, for a terminal: paragraphs filled to its width, lists and code kept.

The one rule: the text is Markdown, and a terminal shows it as it is, but for the width of its lines.
"""

from __future__ import annotations

import re
import textwrap

_ITEM = re.compile(r"^(- |\d+\. )")


def cleaned(text: str) -> str:
    """The text without the indentation that it has in its file."""
    return textwrap.dedent(text).strip("\n")


def wrapped(text: str, width: int) -> str:
    """The text with its paragraphs filled to `width`. What is indented or a table stays as it is."""
    return "\n\n".join(_filled(block, width) for block in cleaned(text).split("\n\n"))


def _filled(block: str, width: int) -> str:
    if block.startswith((" ", "|", "```")):
        return block
    items: list[str] = []
    for line in block.splitlines():
        if _ITEM.match(line) or not items:
            items.append(line)
        else:
            items[-1] += " " + line.strip()
    return "\n".join(_item(item, width) for item in items)


def _item(item: str, width: int) -> str:
    found = _ITEM.match(item)
    hanging = " " * len(found[0]) if found else ""
    return textwrap.fill(item, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
