"""Durations and times as people write them on a command line."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime

from tsunagu.cli.errors import USAGE, CliError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")


def parse_duration(text: str, option: str) -> float:
    """``90s`` or ``1h30m`` in seconds. Raises CliError."""
    seconds = _seconds(text)
    if seconds is None:
        raise CliError(f"{option} {text!r} is no duration", USAGE, "write 10s, 500ms or 1m30s")
    return seconds


def parse_since(text: str, now: float) -> float:
    """``90s``, ``1h30m`` or an ISO 8601 time as seconds since the epoch; 0.0 for an empty one. Raises CliError."""
    if not text:
        return 0.0
    ago = _seconds(text)
    if ago is not None:
        return now - ago
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone().timestamp()
    raise CliError(f"--since {text!r} is no time", USAGE, "write how long ago, as 90s or 1h30m, or 2025-11-22T12:00:00")


def _seconds(text: str) -> float | None:
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in re.findall(r"([\d.]+)(ms|[smhd])", text))
