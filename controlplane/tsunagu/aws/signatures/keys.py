"""The key pair of a mesh, with which clients sign what they send to its AWS endpoint.

The one rule: only its owner can read the file, from the moment that it exists; the secret is never logged and never sent.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MODE: Final = 0o600
_ID_BYTES, _SECRET_BYTES = 10, 30


class BadKeys(Exception):
    """The file of the key pair cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An access key of AWS's form. Its representation does not show the secret."""

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"KeyPair({self.access_key_id!r})"


def load(path: Path) -> KeyPair:
    """Return the key pair in a file, which is made with mode 0600 if it is not there. Raises BadKeys."""
    try:
        return _made(path)
    except FileExistsError:
        return read(path)


def read(path: Path) -> KeyPair:
    """Return the key pair in a file. Raises BadKeys, also when there is none, or when others may read it."""
    try:
        with path.open(encoding="ascii") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise BadKeys(f"{path} can be read by others; delete it, and `tsunagu up --aws` makes a new one")
            values = json.load(file)
        return KeyPair(str(values["access_key_id"]), str(values["secret_access_key"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no key pair"
        raise BadKeys(f"{path}: {reason}; delete it, and `tsunagu up --aws` makes a new one") from error


def _made(path: Path) -> KeyPair:
    pair = KeyPair(
        "AKIA" + base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode()[:16],
        base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode(),
    )
    text = json.dumps({"access_key_id": pair.access_key_id, "secret_access_key": pair.secret_access_key})
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a file descriptor
        file.write(text)
    return pair
