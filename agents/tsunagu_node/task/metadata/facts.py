"""What the task metadata endpoint tells of, as values: one task, its containers, and the names that AWS would give to them.

Rule: names follow from the task alone, since the addresses that containers are given must mean the same to the next node
agent. There is no AWS account here; the region and the account in ARNs are the ones that emulators of AWS use.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tsunagu.v1 import ecs_pb2, objects_pb2
from tsunagu_node.runtime.contract import ProcessState
from tsunagu_node.task.containers import State
from tsunagu_node.task.spec import TaskSpec

_ARN: Final = "arn:aws:ecs:us-east-1:000000000000"


@dataclass(frozen=True, slots=True)
class Facts:
    """A task at one moment. `stopping`: it is to stop. `cidr`: the network of the addresses of tasks.

    `states`, `processes`: by the name of the container.
    """

    spec: TaskSpec
    status: objects_pb2.TaskStatus
    stopping: bool
    cidr: str
    states: Mapping[str, State] = field(default_factory=dict)
    processes: Mapping[str, ProcessState] = field(default_factory=dict)

    @property
    def definitions(self) -> Sequence[ecs_pb2.ContainerDefinition]:
        return self.spec.revision.task_definition.container_definitions

    @property
    def task_arn(self) -> str:
        return f"{_ARN}:task/{self.spec.task.spec.cluster}/{self.spec.id}"

    def container_arn(self, container: str) -> str:
        """Return the ARN in the form that ends with a UUID."""
        digest = hashlib.sha256(f"{self.spec.name}/{container}".encode()).hexdigest()
        parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
        return f"{_ARN}:container/{self.spec.task.spec.cluster}/{self.spec.id}/{'-'.join(parts)}"

    def runs(self, container: str) -> bool:
        """Return whether the container runs."""
        known = self.processes.get(container)
        return known is not None and known.code is None

    def docker_id(self, container: str) -> str:
        """Return the engine's ID of the container; where no engine runs it, the ID that its address has."""
        known = self.processes.get(container)
        return known.container.id if known and known.container else endpoint_id(self.spec, container)


def endpoint_id(spec: TaskSpec, container: str) -> str:
    """Return the ID of a container in the paths of the endpoint, in Fargate's form: 32 hexadecimal digits, "-", 10 digits."""
    task = hashlib.sha256(spec.name.encode()).hexdigest()[:32]
    number = int(hashlib.sha256(container.encode()).hexdigest()[:12], 16) % 10**10
    return f"{task}-{number:010}"
