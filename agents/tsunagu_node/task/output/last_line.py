"""The last line that a container wrote: what most often says why it failed.

Rule: whatever a program wrote becomes one line of plain text of at most LONGEST characters, fit for a status.
"""

import re
from pathlib import Path
from typing import Final

LONGEST: Final = 200
_END: Final = 16 * 1024  # bytes of the file that are looked at
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]")


def last_line(log: Path) -> str:
    """Return the last line of a log file (TIME STREAM TEXT) that is not blank; empty when there is none."""
    for raw in reversed(_end(log) or _end(log.with_name(f"{log.name}.1"))):
        if text := plain(raw.split(b" ", 2)[-1] if raw.count(b" ") > 1 else b""):
            return text
    return ""


def plain(raw: bytes) -> str:
    """Return printable text without colours, cut with an ellipsis; blanks are single."""
    text = _ESCAPES.sub("", raw.decode(errors="replace"))
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _end(log: Path) -> list[bytes]:
    """Return the whole lines at the end of a file; none when there is no such file."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _END))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    return [line for line in (lines[1:] if size > _END else lines) if line]
