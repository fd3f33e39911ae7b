"""Names of a task's processes, which are those of their log files too: containers' beside our own.

Rule: a container's process is called as the container is, unless a process of ours is called so, or no file could be. Such
a one gets a dot, which no container's name has in ECS, so it meets no other.
"""

import hashlib
from typing import Final

_OURS: Final = frozenset({"envoy", "init", "relay"})
_LONGEST: Final = 200  # a file's name has 255 bytes, of which an ending takes some


def process_of(container: str) -> str:
    """Return the name of the container's process."""
    if container in _OURS:
        return f"{container}.container"
    if len(container) > _LONGEST:
        return f"{container[:_LONGEST]}.{hashlib.sha256(container.encode()).hexdigest()[:8]}"
    return container


def container_of(process: str) -> str:
    """Return the name of the process's container; a long one as far as the process tells it."""
    return process.partition(".")[0]
