"""Envoy's messages without pydantic, for a process that only builds and encodes them.

envoy_data_plane makes each of its thousand messages a pydantic dataclass. That costs 0.25 s at its import and as much again
when the first of each is built, while a restarted control plane keeps its proxies waiting. And those with deprecated
members look for them each time one is built, changing the process's warning filters meanwhile: not safe in a thread. The
one rule: the same bytes as with all that (tests compare them, and warnings are errors there), and nobody who has imported
the messages before, or imports pydantic after, notices.
"""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pydantic.dataclasses

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def lean_messages() -> Iterator[None]:
    """Modules of envoy_data_plane that are imported inside have plain dataclasses. Not for two threads at once."""
    made = pydantic.dataclasses.dataclass
    pydantic.dataclasses.dataclass = _plain  # type: ignore[assignment]
    try:
        yield
    finally:
        pydantic.dataclasses.dataclass = made


def _plain(**options: Any) -> Any:
    made = dataclasses.dataclass(**{name: option for name, option in options.items() if name != "config"})

    def plain(message: type) -> type:
        if "__post_init__" in vars(message):  # the look for deprecated members, before the library's own
            del message.__post_init__  # type: ignore[attr-defined]
        return made(message)

    return plain
