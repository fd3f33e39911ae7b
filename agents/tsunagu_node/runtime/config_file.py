"""Configuration files of tasks, which are replaced while somebody reads them: a certificate, while Envoy watches it.

Rule: a file has its name only when it is whole, and from the first moment on nobody can read it who may not.
"""

import os
import secrets
from pathlib import Path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file of that mode and rename it to `path`, in whose folder it is made. Raises OSError."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
