"""Tokens by which a proxy proves which task it belongs to: a MAC over the task's name, with a key that only this mesh has.

The one rule: the key alone decides whether a token is valid, so tokens need no store and survive restarts of the control
plane. A token is of no use after its task has ended, because the task's scope is gone. Only its owner can read a key file,
from the moment that it exists.

A token is `v1.NAME.MAC`, NAME and MAC in base64url without padding, MAC = HMAC-SHA256(key, NAME's bytes). The token of a
proxy that may be started again is for `NAME@INCARNATION`, a number that grows with each start.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
_INCARNATION: Final = "@"
TOKEN: Final = re.compile(r"\bv1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
"""Matches a token in any text; used to redact them."""


class BadToken(Exception):
    """The token is not valid. The message says why, and does not contain the token."""


class BadKey(Exception):
    """The key file cannot be used; the message says why, and what to do."""


def mint(key: bytes, task: str) -> str:
    """Return the token of a task. `task`: its name, not empty."""
    if not task:
        raise ValueError("a token is for a task: its name must not be empty")
    name = task.encode()
    return f"v1.{_encode(name)}.{_encode(_mac(key, name))}"


def verify(key: bytes, token: str) -> str:
    """Return the name of the task that `token` is for. Raises BadToken if it was not made with `key`."""
    version, _, rest = token.partition(".")
    name, _, mac = rest.partition(".")
    if version != "v1" or not name or not mac:
        raise BadToken("the token is not of the form v1.NAME.MAC")
    raw = _decode(name)
    if not hmac.compare_digest(_decode(mac), _mac(key, raw)):
        raise BadToken("the token was not made with this mesh's key")
    return raw.decode()


def incarnate(task: str, number: int) -> str:
    """The name to mint a token for that tells one start of a task's proxy from the others."""
    return f"{task}{_INCARNATION}{number}"


def incarnation_of(name: str) -> tuple[str, int]:
    """The task and the incarnation in the name of a verified token; 0: it does not say which."""
    task, _, number = name.rpartition(_INCARNATION)
    return (task, int(number)) if task and number.isdecimal() and number.isascii() else (name, 0)


def load_key(path: Path) -> bytes:
    """Return the key in the file `path`; the file is created (mode 0600) if there is none. Safe in concurrent processes.

    Raises BadKey if others can read the file, or if it has the wrong size.
    """
    with suppress(FileExistsError):
        _create(path)
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        key = file.read(KEY_BYTES + 1)
    if mode & 0o077:
        raise BadKey(f"{path} has mode {mode:04o}, others may read it; make it 0600, or remove it for a new one")
    if len(key) != KEY_BYTES:
        raise BadKey(f"{path} must hold {KEY_BYTES} bytes; remove it for a new one")
    return key


def _create(path: Path) -> None:
    # Written to another file and linked: no process sees a partial key, and the first one wins.
    if path.exists():
        return
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        os.link(aside, path)
    finally:
        aside.unlink()


def _mac(key: bytes, name: bytes) -> bytes:
    return hmac.digest(key, name, hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadToken("a part of the token is not base64url") from error
    if _encode(raw) != text:  # one token, one spelling
        raise BadToken("a part of the token is not base64url")
    return raw
