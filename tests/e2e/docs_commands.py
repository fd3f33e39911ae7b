"""The commands of a page and the output that it shows, as data: what `test_docs_commands` runs and compares.

In a block ```console a line that begins with `$ ` is a command (a backslash continues it), what follows is its output. In
output a line `...` stands for any lines, `...` within a line for anything. Before a block may stand, as comments of HTML:
`not run: REASON`, `exit: CODE` of its last command, `numbers vary`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (?P<mark>[^\n]*?) -->\n*\Z")
_COMMAND = re.compile(r"^(\$ |tsunagu |curl |make )", re.MULTILINE)

#: What differs from run to run: (pattern, what stands for it).
_MASKS = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?", "TIME"),
        (r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b", "TIME"),
        (r"\b((?:[a-z]+-)+)[0-9a-f]{8}\b", r"\1ID"),
        (r"\b[0-9a-f]{12,64}\b", "HASH"),
        (r"\b(?:10\.88|127\.255)\.\d+\.\d+\b", "IP"),
        (r"(?<![\w.])\d+(?:\.\d+)? ?(?:ms|s|m|h|d)\b", "DURATION"),
        (r"\br\d+\b", "rN"),
        (r"\b\d+ B\b", "N B"),
        (r"\b(revision|pid|process) \d+\b", r"\1 N"),
        (r"@@ -[\d,]+ \+[\d,]+ @@", "@@"),
    )
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of commands: [(command, expected output)], and the marks before it."""

    line: int
    steps: tuple[tuple[str, str], ...]
    marks: dict[str, str] = field(default_factory=dict)


def blocks(page: str) -> Iterator[Block]:
    """The blocks ```console of a page."""
    for found in _FENCE.finditer(page):
        if found["kind"] == "console":
            yield Block(
                page.count("\n", 0, found.start()) + 1, tuple(_steps(found["text"])), _marks(page[: found.start()])
            )


def unmarked(page: str) -> list[str]:
    """Blocks that show commands and are no ```console, and so would never be run."""
    return [
        found["text"].partition("\n")[0]
        for found in _FENCE.finditer(page)
        if found["kind"] in ("", "sh", "bash") and _COMMAND.search(found["text"])
    ]


def _marks(before: str) -> dict[str, str]:
    marks: dict[str, str] = {}
    while found := _MARK.search(before):
        name, _, value = found["mark"].partition(":")
        marks[name.strip()] = value.strip()
        before = before[: found.start()]
    return marks


def _steps(text: str) -> Iterator[tuple[str, str]]:
    for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = step.split("\n")
        count = next(at for at, line in enumerate(lines) if not line.endswith("\\")) + 1
        yield "\n".join(lines[:count]), "\n".join(lines[count:]).strip("\n")


def masked(text: str, *, numbers: bool = False) -> str:
    """Text without what differs from run to run; runs of blanks are one."""
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    if numbers:
        text = re.sub(r"\d+(?:,\d{3})*(?:\.\d+)?", "N", text)
    return "\n".join(" ".join(line.split()) for line in text.strip("\n").split("\n"))


def agrees(expected: str, got: str, *, numbers: bool = False) -> bool:
    """Whether output is what the page shows; a command of which it shows none may print what it likes."""
    if not expected:
        return True
    lines = [
        r"(?:.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n"
        for line in masked(expected, numbers=numbers).split("\n")
    ]
    return re.fullmatch("".join(lines), masked(got, numbers=numbers) + "\n") is not None
