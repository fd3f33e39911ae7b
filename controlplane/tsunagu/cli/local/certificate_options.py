"""The options of `up` about certificates, as the control plane takes them: in its environment.

Rule: the user's files are read here once, before anything starts, so that what is wrong with them is an answer to the command.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu import settings
from tsunagu.ca.refusals import BadAuthority
from tsunagu.cli import errors
from tsunagu.cli.durations import parse_duration
from tsunagu.cli.errors import CliError
from tsunagu.model import identities
from tsunagu.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says: --ca-cert, --ca-key, --ca, --trust-domain and --leaf-life."""

    certificate: Path | None
    key: Path | None
    others: Sequence[str]
    trust_domain: str
    life: str

    def words(self) -> tuple[str, ...]:
        """Return VARIABLE=VALUE of what was asked for. Raises CliError."""
        authorities = self._authorities()
        life = parse_duration(self.life, "--leaf-life")
        try:
            found = dict(map(settings.authority, authorities))
            settings.leaf_seconds(str(life))
            if self.trust_domain:
                identities.trust_domain(self.trust_domain)
            if found:
                given = importlib.import_module("tsunagu.ca.given")
                given.agreed(self.trust_domain, [given.read(*pair, time.time()) for pair in found.values()])
        except (SettingsError, BadAuthority, identities.BadIdentity) as error:
            raise CliError(str(error), errors.USAGE) from error
        if len(found) < len(authorities):
            raise CliError("a certificate authority is given twice", errors.USAGE, "give each a name of its own")
        values = {
            settings.CA_VARIABLE: ";".join(f"{name}={pair[0]},{pair[1]}" for name, pair in found.items()),
            settings.TRUST_DOMAIN_VARIABLE: self.trust_domain,
            settings.LEAF_VARIABLE: f"{life:g}" if life != settings.LEAF_SECONDS else "",
        }
        return tuple(f"{name}={value}" for name, value in values.items() if value)

    def _authorities(self) -> list[str]:
        if (self.certificate is None) != (self.key is None):
            raise CliError("--ca-cert and --ca-key belong together", errors.USAGE, "give both")
        own = [] if self.certificate is None else [f"{_DEFAULT}={self.certificate},{self.key}"]
        return [*own, *self.others]
