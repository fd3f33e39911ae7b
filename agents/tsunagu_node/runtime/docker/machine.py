"""What all tasks of a docker runtime share: the engine, the images that are ours, and the runtime's own jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsunagu_node.runtime.docker.engine.engine import Engine
from tsunagu_node.runtime.docker.jobs import Jobs


@dataclass(slots=True)
class Machine:
    """`own_image`: the one made of this machine's files; `sidecar_image`: the one whose Envoy runs, most often the same.

    `sees_processes`: whether the engine's pids are those of /proc here; not so in a container. `routes`: those that
    each task's network needs, as `inside.hand_over` takes them. All are known from the start of the runtime on.
    """

    engine: Engine
    jobs: Jobs
    own_image: str = ""
    sidecar_image: str = ""
    sees_processes: bool = True
    routes: Sequence[str] = ()

    def program(self, argv: Sequence[str]) -> list[str]:
        """Return the command of a program as it is called in the sidecar's image: another image has it on its own PATH."""
        return list(argv) if self.is_own_sidecar else [Path(argv[0]).name, *argv[1:]]

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a program in the sidecar's image; the PATH of another image stays what it is."""
        return {name: value for name, value in env.items() if self.is_own_sidecar or name != "PATH"}

    @property
    def is_own_sidecar(self) -> bool:
        return self.sidecar_image == self.own_image
