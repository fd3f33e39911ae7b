"""Heartbeats of a child process: bytes in a pipe, by which its supervisor tells a process that hangs from one that runs.

Rule: whether a child has fallen silent is decided by `listened`, over times that are passed in. Neither end ever blocks.
Quick to import: the node agent's launcher does without asyncio.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

VARIABLE: Final = "TSUNAGU_HEARTBEAT_FD"
"""The environment variable with the number of the file descriptor to which a child writes its heartbeats."""
LISTEN_SECONDS: Final = 0.5
"""How often the supervisor looks."""
_FIRST_SECONDS: Final = 60.0  # a child may take its time to start, on a machine that is busy


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the supervisor has heard of a child, in monotonic seconds. `limit`: how long it may be silent now."""

    limit: float
    heard: float
    listened: float

    @property
    def silent(self) -> float:
        """For how long nothing has been heard, in seconds."""
        return self.listened - self.heard

    @property
    def lost(self) -> bool:
        """Whether it hangs."""
        return self.silent >= self.limit


def first_pulse(now: float, silence: float) -> Pulse:
    """Return the pulse of a child that was just started; `silence`: its limit from its first heartbeat on."""
    return Pulse(max(silence, _FIRST_SECONDS), now, now)


def listened(pulse: Pulse, now: float, silence: float, *, beats: bool) -> Pulse:
    """Return the pulse after the pipe was looked at. A supervisor that stood still itself could hear nothing meanwhile."""
    if beats:
        return Pulse(silence, now, now)
    stood_still = now - pulse.listened > 4 * LISTEN_SECONDS
    return replace(pulse, heard=now if stood_still else pulse.heard, listened=now)


def heard(pipe: int) -> bool:
    """Take what has come through the pipe (its read end, non-blocking); return whether there was a heartbeat."""
    try:
        return bool(os.read(pipe, 65536))
    except BlockingIOError:
        return False


def beat(pipe: int) -> None:
    """Send a heartbeat into the pipe (its write end, non-blocking); nothing happens when nobody listens."""
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(pipe, b".")
