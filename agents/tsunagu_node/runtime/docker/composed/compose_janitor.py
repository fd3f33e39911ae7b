"""The janitor of a mesh whose every part is a container: `python -m tsunagu_node.runtime.docker.composed.compose_janitor HOME`.

Compose takes away what it made itself. What the node agent made (containers, networks and volumes of tasks) is taken away here:
at SIGTERM, for compose stops the janitor last, whatever became of the others; and at the start, what an earlier mesh left whose
janitor was killed. Rule: while a control plane or a node agent of the mesh runs, nothing is touched. (Each holds a lock file in
HOME, which the kernel drops at its death.) `--once` does it and ends. Standard library only.
"""

import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final

from tsunagu.kit.lockfile import is_held
from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker import docker_janitor
from tsunagu_node.runtime.docker.composed import own_container
from tsunagu_node.runtime.docker.engine import answers

READY: Final = Path("/tmp/janitor-is-ready")  # noqa: S108 - in a container of its own
_LOCKS: Final = ("api.sock.lock", "node.lock")
_PATIENCE: Final = 3.0  # for processes that have been asked to end
_POLL: Final = 0.1


def main(arguments: list[str]) -> int:
    """`HOME [--once]`. Return the exit code, 1 when something stays."""
    home, once = Path(arguments[0]), "--once" in arguments
    try:
        engine = answers.endpoint("", os.environ)
        project = own_container.find(engine).project
    except RuntimeUnavailable as error:
        print(f"tsunagu janitor: {error}", file=sys.stderr)
        return 1
    asked_to_end = _signals()
    left = cleared(home, engine, project)
    READY.touch()
    if not once:
        select.select([asked_to_end], [], [])
        left = cleared(home, engine, project)
    if left:
        print(f"tsunagu janitor: what the mesh {project} made stays in the engine: {left}", file=sys.stderr)
    return 1 if left else 0


def cleared(home: Path, engine: str, project: str) -> str:
    """Take away what the mesh made, unless a part of it runs; return why something stays, empty when nothing does."""
    deadline = time.monotonic() + _PATIENCE
    while running := [name for name in _LOCKS if is_held(home / name)]:
        if time.monotonic() > deadline:
            print(
                f"tsunagu janitor: the mesh {project} runs ({', '.join(running)} held); nothing is touched", flush=True
            )
            return ""
        time.sleep(_POLL)
    return docker_janitor.clear(engine, project)


def _signals() -> int:
    """Return a descriptor that is readable once this process is asked to end."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return read


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
