"""Many changes in a burst should cause one reaction, and a stream of changes without end must not delay it for ever.

The one rule: it is due when nothing has changed for `quiet` seconds, or `longest` seconds after the first change that
is still unanswered, whichever comes first. `now` is an argument, in seconds of any clock that does not run backwards.
"""

from __future__ import annotations


class Debounce:
    def __init__(self, *, quiet: float, longest: float) -> None:
        if not 0 <= quiet <= longest:
            raise ValueError(f"quiet={quiet} longest={longest}: needs 0 <= quiet <= longest")
        self._quiet = quiet
        self._longest = longest
        self._first: float | None = None
        self._last = 0.0

    def touch(self, now: float) -> None:
        """Something has changed."""
        if self._first is None:
            self._first = now
        self._last = now

    @property
    def deadline(self) -> float | None:
        """When the reaction is due; None while there is nothing to react to."""
        if self._first is None:
            return None
        return min(self._last + self._quiet, self._first + self._longest)

    def take(self, now: float) -> bool:
        """Whether the reaction is due; if so the changes count as answered."""
        if self._first is None or now < min(self._last + self._quiet, self._first + self._longest):
            return False
        self._first = None
        return True
