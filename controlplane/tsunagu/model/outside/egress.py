"""What tasks of a namespace may reach outside of the mesh, as `egress` of the Namespace says it.

The one rule: a name is matched whole and without regard to case; `*.example.com` is every name below example.com, and not that itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ALLOW, DENY = "allow", "deny"
HOST_NAME: Final = "host.tsunagu.internal"
"""By which tasks reach this machine's 127.0.0.1."""
_BELOW: Final = "*."


@dataclass(frozen=True, slots=True)
class Egress:
    """`word`: ALLOW, DENY, or empty: the `names` may be reached."""

    word: str = ALLOW
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, egress: Sequence[str]) -> Egress:
        """Return what a Namespace's field says."""
        if not egress or ALLOW in egress:
            return cls()
        if DENY in egress:
            return cls(DENY)
        return cls("", frozenset(name.lower() for name in egress))

    def also(self, names: Iterable[str]) -> Egress:
        """Return the same with these names, which may be reached whatever it says."""
        more = frozenset(name.lower() for name in names)
        return self if self.word == ALLOW or not more else Egress("", self.names | more)

    def admits(self, name: str) -> bool:
        """Return whether a DNS name may be reached."""
        if self.word:
            return self.word == ALLOW
        name = name.lower().removesuffix(".")
        labels = name.split(".")
        above = (_BELOW + ".".join(labels[at:]) for at in range(1, len(labels)))
        return name in self.names or not self.names.isdisjoint(above)

    def words(self) -> str:
        """Return it as a manifest says it, for people."""
        return self.word or f"[{', '.join(sorted(self.names))}]"
