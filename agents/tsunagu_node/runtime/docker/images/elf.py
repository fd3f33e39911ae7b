"""The shared libraries that a program of this machine needs, as its own loader finds them.

Rule: the program itself is never run: its loader, whose path the program's file names, is asked (`ld.so --list`).
The layout of the file is that of the ELF specification (System V ABI, chapters 4 and 5); 64 bits, little endian.
"""

import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_MAGIC: Final = b"\x7fELF\x02\x01"
_INTERPRETER: Final = 3  # PT_INTERP
_HEADERS: Final = struct.Struct("<32xQ14xHH")  # e_phoff, e_phentsize, e_phnum
_SEGMENT: Final = struct.Struct("<IIQ16xQ")  # p_type, p_flags, p_offset, p_filesz


def loader(program: Path) -> str:
    """Return the path of the loader that the program names; empty for a static program, or a file that is none."""
    with program.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or not head.startswith(_MAGIC):
            return ""
        offset, size, count = _HEADERS.unpack_from(head)
        file.seek(offset)
        table = file.read(size * count)
        for at in range(0, len(table), size):
            kind, _, begin, length = _SEGMENT.unpack_from(table, at)
            if kind == _INTERPRETER:
                file.seek(begin)
                return file.read(length).rstrip(b"\0").decode()
    return ""


def libraries(files: Iterable[Path], by: str) -> set[Path]:
    """Return the libraries that programs and shared objects need, as the loader `by` finds them; none that it does not."""
    found: set[Path] = set()
    for file in files:
        listed = subprocess.run([by, "--list", str(file)], capture_output=True, text=True, check=False, timeout=30)
        found |= {Path(word) for line in listed.stdout.splitlines() if (word := _resolved(line))}
    return found


def _resolved(line: str) -> str:
    """Return the path in `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f...)`."""
    _, arrow, path = line.partition(" => ")
    word = (path if arrow else line).strip().partition(" (0x")[0]
    return word if word.startswith("/") else ""
