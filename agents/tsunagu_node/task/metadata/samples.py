"""Stats of a container as the endpoint answers them: this sample, the one before it, and what came over the network since.

Docker's stats hold the processor's counters twice, so that a reader can compute a share from one answer; ECS's agent adds
the network's rate. Both need an earlier sample, which is the one of the last answer. Rule: without one there is no rate, and
the earlier counters are zero, as Docker's first answer has them. Within `FRESH` seconds the last answer is given again, so that
who asks often costs no more. Pure.
"""

from collections.abc import Mapping
from typing import Any, Final

_NEVER: Final = "0001-01-01T00:00:00Z"
FRESH: Final = 0.5
_RATES: Final = {"rx_bytes": "rx_bytes_per_sec", "tx_bytes": "tx_bytes_per_sec"}

Stats = Mapping[str, Any]


class Samples:
    """The last sample of each container of a task, with the time at which it was taken (monotonic seconds), and its answer."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, Stats, Stats]] = {}

    def fresh(self, container: str, now: float) -> Stats | None:
        """Return the last answer, if it is not too old."""
        taken, _, answer = self._last.get(container, (-FRESH, {}, {}))
        return answer if answer and now - taken < FRESH else None

    def answer(self, container: str, identifier: str, stats: Stats | None, now: float) -> Stats | None:
        """Return the answer for this sample and remember it; None, and forget the last, when the container does not run."""
        if stats is None:
            self._last.pop(container, None)
            return None
        taken, before, _ = self._last.get(container, (now, {}, {}))
        answer = {
            **stats,
            "id": identifier,
            "preread": before.get("read", _NEVER),
            "precpu_stats": before.get("cpu_stats", {"cpu_usage": {"total_usage": 0}}),
        }
        if before and now > taken:
            answer["network_rate_stats"] = rates(before, stats, now - taken)
        self._last[container] = now, stats, answer
        return answer


def rates(before: Stats, after: Stats, seconds: float) -> Mapping[str, float]:
    """Return the bytes per second of all networks together; a counter that began anew counts as nothing."""
    return {
        rate: max(0, _total(after, counter) - _total(before, counter)) / seconds for counter, rate in _RATES.items()
    }


def _total(stats: Stats, counter: str) -> int:
    return sum(one.get(counter, 0) for one in (stats.get("networks") or {}).values())
