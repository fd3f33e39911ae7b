"""Changes a task's /etc/hosts while processes read it: no reader may ever miss a name that stays.

Rule: the file never shrinks, and each name keeps its place; a change is one `pwrite` over the same bytes. (Truncating and
writing loses entries for one reader in twenty; renaming does not reach through a bind mount.) A line is padded to a
slot of 64 bytes or several, so that a reader whose two reads see two versions still sees each line whole. Slots that have
become free are comments: whichever version a reader sees, the byte before a line that stays ends a line.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

SLOT: Final = 64
_FREE: Final = "#"


class HostsFile:
    """The hosts file at `path`, with the lines that it holds; it is made if there is none. `own`: lines that always stay."""

    def __init__(self, path: Path, own: Iterable[str]) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._own = tuple(own)
        try:
            self._lines = _read(os.pread(self._fd, 1 << 24, 0))
            if not self._lines:
                self.set({})
        except OSError:
            self.close()
            raise

    def set(self, names: Mapping[str, str]) -> None:
        """Make `names` (DNS name -> IP) its content beside the task's own lines. Raises OSError when the disk is full.

        Once it is closed nothing happens: names go on changing while a task ends.
        """
        if self._fd < 0:
            return
        wanted = {name: f"{ip} {name}" for name, ip in names.items()}
        wanted.update({line: line for line in self._own})
        self._lines = place(self._lines, wanted.values())
        content = render(self._lines)
        if os.pwrite(self._fd, content, 0) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def shown(self) -> dict[str, str]:
        """Return name -> IP as a resolver reads the file, whoever has written it: of several lines the first counts. Raises OSError."""
        return names(os.pread(self._fd, 1 << 24, 0).decode(errors="replace")) if self._fd >= 0 else {}

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def names(text: str) -> dict[str, str]:
    """Return what the text of a hosts file says: name -> IP. The first line of a name counts (hosts(5))."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        ip, *called = line.partition(_FREE)[0].split() or [""]
        for name in called:
            found.setdefault(name, ip)
    return found


def place(before: list[str], wanted: Iterable[str]) -> list[str]:
    """Return one entry per slot. Lines of `before` that are still wanted keep their slots, others take free ones.

    A line of several slots stands in the first of them; the others hold "".
    """
    rest = list(dict.fromkeys(wanted))
    placed = [line if line in rest else "" for line in before]
    for line in placed:
        if line:
            rest.remove(line)
    for line in rest:
        at = _room(placed, _slots(line))
        placed[at] = line
    return placed


def render(lines: list[str]) -> bytes:
    """Return the file's bytes: whole slots."""
    raw, at = b"", 0
    while at < len(lines):
        slots = _slots(lines[at])
        raw += (lines[at] or _FREE).encode().ljust(SLOT * slots - 1) + b"\n"
        at += slots
    return raw


def _room(placed: list[str], slots: int) -> int:
    """Return the index of the first of `slots` free ones in a row; add as many to `placed` when there are none."""
    free = _free(placed)
    for at in range(len(placed) - slots + 1):
        if all(free[at : at + slots]):
            return at
    placed.extend([""] * slots)
    return _room(placed, slots)


def _free(placed: list[str]) -> list[bool]:
    free, covered = [], 0
    for line in placed:
        covered = max(covered - 1, 0, _slots(line) if line else 0)
        free.append(covered == 0)
    return free


def _slots(line: str) -> int:
    return max(1, -(-(len(line.encode()) + 1) // SLOT))


def _read(raw: bytes) -> list[str]:
    lines: list[str] = []
    for line in raw.decode().splitlines(keepends=True):
        slots = max(1, len(line) // SLOT)
        lines += ["" if line.startswith(_FREE) else line.strip()] + [""] * (slots - 1)
    return lines
