"""What is said about a call: the cause in one sentence with what would mend it, and how sure that is.

The one rule: `Sure.YES` only when everything that could contradict the cause was looked at and does not.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Sure(enum.StrEnum):
    """How sure a verdict is."""

    YES = "sure"
    LIKELY = "likely"
    NO = "not sure"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cause. `kind`: its name in docs/why.md; `blocks`: with it no call can succeed, so one that does contradicts it, if it
    was tried in the way of the app (`tried`: the call just now is plain HTTP, and looks no name up).

    `at`: the step of the way at which the call ends. `doubts`: what speaks against it, or was not seen.
    """

    kind: str
    what: str
    remedy: str = ""
    at: str = ""
    sure: Sure = Sure.YES
    blocks: bool = True
    tried: bool = True
    fault: bool = True  # False: the mesh does what it should, and the call works as far as it can tell
    doubts: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict as one sentence."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        lead = {Sure.YES: "", Sure.LIKELY: "Most likely: ", Sure.NO: "Not sure: "}[self.sure]
        doubts = f" ({'; '.join(self.doubts)})" if self.doubts else ""
        text = f"{lead}{self.what}{remedy}{doubts}"
        return text if text.endswith(("?", ".")) else f"{text}."


class State(enum.StrEnum):
    """How a step of the way is."""

    GOOD = "ok"
    BAD = "BAD"
    UNKNOWN = "?"
    SKIPPED = "-"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way of a call. `meant`: by the control plane; `found`: in Envoy, or at the app."""

    name: str
    state: State
    meant: str = ""
    found: str = ""
