"""Envoy's messages without pydantic, for a process that only builds and encodes them.

envoy_data_plane makes each of its thousand messages a pydantic dataclass. That costs 0.25 s at import, and as much again
when the first message of each class is built, while proxies wait for a control plane that has just restarted. Besides, a
message with deprecated fields looks for them whenever it is built, and changes the process's warning filters meanwhile,
which is not safe in a thread. The one rule: the bytes are the same as with pydantic (tests compare them), and code that
imported the messages before, or imports pydantic afterwards, notices no difference.
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
    """Give modules of envoy_data_plane that are imported inside plain dataclasses. Not for two threads at once."""
    made = pydantic.dataclasses.dataclass
    pydantic.dataclasses.dataclass = _plain  # type: ignore[assignment]
    try:
        yield
    finally:
        pydantic.dataclasses.dataclass = made


def _plain(**options: Any) -> Any:
    made = dataclasses.dataclass(**{name: option for name, option in options.items() if name != "config"})

    def plain(message: type) -> type:
        if "__post_init__" in vars(
            message
        ):  # looks for deprecated fields; the library's own __post_init__ is inherited
            del message.__post_init__  # type: ignore[attr-defined]
        return made(message)

    return plain
