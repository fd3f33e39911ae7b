"""What another node agent must know of a task beside what the engine says of it, in the task's directory.

Rule: it is written before anything of the task is made, and taken away when nothing of it is left, so that what has no record
is nobody's.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import Network, PublishedPort
from tsunagu_node.runtime.docker.definition.places import APPS, HANDOVER
from tsunagu_node.runtime.docker.process_table import STATE

FILE: Final = "docker.json"
_DEFINITION: Final = "definition.pb"
_KILLED: Final = "killed"
_KEPT: Final = frozenset({"log", STATE})
_LOCAL: Final = ("127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback")


@dataclass(frozen=True, slots=True)
class Record:
    """`ip`: its address. `definition`: its task definition, empty for a gateway's task."""

    ip: str
    published: Sequence[PublishedPort] = ()
    definition: ecs_pb2.RegisterTaskDefinitionRequest = field(default_factory=ecs_pb2.RegisterTaskDefinitionRequest)

    @classmethod
    def of(cls, ip: str, network: Network) -> "Record":
        return cls(ip, tuple(network.published), network.definition or ecs_pb2.RegisterTaskDefinitionRequest())

    @classmethod
    def read(cls, directory: Path) -> "Record":
        """Raises OSError or ValueError when there is none, and when the task was killed."""
        fields = json.loads((directory / FILE).read_text())
        if (directory / _KILLED).exists():
            raise ValueError(f"{directory.name} was killed")
        try:
            definition = ecs_pb2.RegisterTaskDefinitionRequest.FromString((directory / _DEFINITION).read_bytes())
            return cls(fields["ip"], tuple(PublishedPort(**port) for port in fields["published"]), definition)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{directory / FILE} is no record of a task") from error

    def write(self, directory: Path) -> None:
        """Raises OSError."""
        for name, mode in {"": 0o700, "log": 0o700, APPS: 0o755, HANDOVER: 0o755}.items():
            (directory / name).mkdir(parents=True, exist_ok=True, mode=mode)
        (directory / _KILLED).unlink(missing_ok=True)
        fd = os.open(directory / _DEFINITION, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(self.definition.SerializeToString())
        fields = {"ip": self.ip, "published": [asdict(port) for port in self.published]}
        (directory / FILE).write_text(json.dumps(fields))

    def own_lines(self, task: str) -> tuple[str, ...]:
        """Return the lines with which /etc/hosts of the task begins; what a container asks for by extraHosts among them."""
        containers = self.definition.container_definitions
        names = dict.fromkeys([*(one.hostname for one in containers if one.hostname), task])
        extra = (f"{host.ip_address} {host.hostname}" for one in containers for host in one.extra_hosts)
        return (*_LOCAL, f"{self.ip} {' '.join(names)}", *dict.fromkeys(extra))

    @staticmethod
    def killed(directory: Path) -> None:
        """Note that the task is to be taken away: nobody adopts it, though pause may still answer for it."""
        (directory / _KILLED).touch()

    @staticmethod
    def clean(directory: Path) -> None:
        """Take away everything of a dead task but its logs and the record of how its processes ended."""
        for path in directory.iterdir():
            if path.name not in _KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
