"""The mesh's life: a pipe or a socket at whose end the mesh is over, whatever killed whoever held the other end."""

import os
from collections.abc import Mapping
from typing import Final

from tsunagu_node.runtime.contract import RuntimeUnavailable

LIFE: Final = "TSUNAGU_LIFE_FD"


def life_pipe(environment: Mapping[str, str]) -> int:
    """Return the read end of the mesh's life pipe; without one, that of a pipe that ends with this process."""
    text = environment.get(LIFE)
    if text is None:
        read, write = os.pipe2(os.O_CLOEXEC)
        del write  # a number: open until this process ends
        return read
    try:
        fd = int(text)
        os.fstat(fd)
    except (ValueError, OSError) as error:
        raise RuntimeUnavailable(f"{LIFE}={text} is not the number of an open file descriptor") from error
    return fd
