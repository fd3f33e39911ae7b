"""How the docker runtime is to work: what `tsunagu up` and `tsunagu node` are told about it, parsed once.

Rule: frozen, and passed on as one argument, since the node agent's main is a process of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from tsunagu_node.runtime.docker.definition.places import Composed


class Pull(StrEnum):
    """When images are pulled: those that are missing, all before each task, or none."""

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"


class Allowed(StrEnum):
    """What a task definition may ask for that reaches beyond its containers, and only when it is allowed by name."""

    PRIVILEGED = "privileged"
    BINDS = "binds"
    HOST_NAMESPACES = "host-namespaces"


@dataclass(frozen=True, slots=True)
class Settings:
    """`socket`: of the engine; empty: the one that DOCKER_HOST, or Docker's current context, names. `sidecar_image`: one with
    Envoy in it; empty: the one that is made of this machine's files. `project`: the folder whose files task definitions may
    mount; empty: none. `labels`: for every container, beside our own. `containers`: this process is itself in a container of the
    engine, and `composed`, which the launcher finds out then, says which volumes it shares. `beside`: the name of the mesh's node
    of the linux runtime, whose tasks and these reach each other; empty: there is none.
    """

    socket: str = ""
    sidecar_image: str = ""
    pull: Pull = Pull.MISSING
    allow: frozenset[Allowed] = frozenset()
    project: str = ""
    labels: Mapping[str, str] | None = None
    containers: bool = False
    composed: Composed | None = None
    beside: str = ""

    def argument(self) -> str:
        """Return them as one argument of a command."""
        return json.dumps({**asdict(self), "allow": sorted(self.allow)})

    @classmethod
    def parse(cls, argument: str) -> "Settings":
        """Return what `argument` returned."""
        fields = json.loads(argument)
        fields["pull"] = Pull(fields["pull"])
        fields["composed"] = Composed(**fields["composed"]) if fields["composed"] else None
        fields["allow"] = frozenset(map(Allowed, fields["allow"]))
        return cls(**fields)
