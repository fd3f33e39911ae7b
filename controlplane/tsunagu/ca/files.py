"""The keys of the authorities of one mesh: files of the control plane's, and of nobody else.

The one rule: a key is in its file, which its owner alone may read, before anybody hears of its certificate; and it is nowhere
else. So a control plane that is killed at any moment has either no new authority or one that it can sign with.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tsunagu.ca import authority, given
from tsunagu.ca.refusals import BadAuthority

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from tsunagu.ca.authority import SigningAuthority

_SUFFIX: Final = ".pem"
EMBEDDED: Final = "embedded"


class AuthorityFiles:
    """The authorities that can sign here: those made in `folder` (FINGERPRINT.pem: key and certificate), and the `given` ones.

    Files that were read stay in memory: they never change.
    """

    def __init__(self, folder: Path, given_ones: Mapping[str, SigningAuthority]) -> None:
        self._folder = folder
        self._given = given_ones
        self._read: dict[str, dict[str, SigningAuthority]] = {}

    @property
    def names(self) -> Sequence[str]:
        """The names of the authorities that the user gave."""
        return sorted(self._given)

    def given(self, name: str) -> SigningAuthority | None:
        """Return the user's own authority of that name."""
        return self._given.get(name)

    def made(self, name: str, now: float) -> Sequence[SigningAuthority]:
        """Return the authorities of that name that were made here, the oldest first. Raises BadAuthority, OSError."""
        known = self._read.setdefault(name, {})
        folder = self._folder / name
        files = sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else []
        for path in files:
            if path.stem not in known:
                known[path.stem] = _read(path, now)
        found = [known[path.stem] for path in files]
        return sorted(found, key=lambda one: one.certificate.not_valid_before_utc)

    def signer(self, name: str, fingerprint: str, now: float) -> SigningAuthority | None:
        """Return the authority with that fingerprint, if its key is here."""
        given_one = self._given.get(name)
        every = [*self.made(name, now), *([given_one] if given_one else [])]
        return next((one for one in every if one.fingerprint == fingerprint), None)

    def make(self, name: str, trust_domain: str, now: float) -> SigningAuthority:
        """Return a new authority, whose file is there. Raises OSError."""
        made = authority.make(trust_domain, now)
        folder = self._folder / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(folder / f"{made.fingerprint}{_SUFFIX}", key + made.certificate.public_bytes(Encoding.PEM))
        self._read.setdefault(name, {})[made.fingerprint] = made
        return made

    def keep(self, name: str, fingerprints: Collection[str]) -> None:
        """Take away the files of all others of that name: what is trusted no more signs no more."""
        folder = self._folder / name
        for path in folder.glob(f"*{_SUFFIX}") if folder.is_dir() else ():
            if path.stem not in fingerprints:
                with suppress(OSError):  # tried again the next time
                    path.unlink()
                self._read.get(name, {}).pop(path.stem, None)


def _read(path: Path, now: float) -> SigningAuthority:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read()
    if mode & 0o077:
        raise BadAuthority(f"{path} has mode {mode:04o}, others may read it; make it 0600, or remove it for a new one")
    # One that has expired is read all the same: what it signed may still be about.
    found = given.parse((str(path), text), (str(path), text), min(now, _end(text)))
    return type(found)(found.key, found.chain, EMBEDDED)


def _end(text: bytes) -> float:
    """The last moment at which the certificate in a file is good."""
    return x509.load_pem_x509_certificates(text)[0].not_valid_after_utc.timestamp() - 1


def _write(path: Path, text: bytes) -> None:
    """Write a file that is whole from the moment that it has its name."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
