"""What a task asks for against what was allowed, where it is run: the registry has refused the same when it was applied.

Rule: what is asked for, and in which words it is refused, says `model.privileges`; here links are followed, as only the machine
that has the files can.
"""

import os
from pathlib import Path

from tsunagu.model import privileges
from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition import volumes
from tsunagu_node.runtime.docker.settings import Allowed, Settings


def check(name: str, container: ecs_pb2.ContainerDefinition) -> None:
    """Raises RuntimeFailed when the container asks for what there is not."""
    if any(one.type == "GPU" for one in container.resource_requirements):
        raise RuntimeFailed(f"container {name} asks for a GPU (resourceRequirements), which this runtime cannot give")


def check_task(task: ecs_pb2.RegisterTaskDefinitionRequest, settings: Settings, home: Path) -> None:
    """Raises RuntimeFailed when the task asks for what is not allowed. `home`: the mesh's directory, which is nobody's to see."""
    for demand in privileges.refused(task, settings.project, settings.allow, os.path.realpath):
        raise RuntimeFailed(f"{demand}; {demand.remedy}")
    for path in volumes.host_paths(task):
        if Allowed.BINDS not in settings.allow and _share(Path(os.path.realpath(path)), Path(os.path.realpath(home))):
            raise RuntimeFailed(
                f"a volume of the task is {path}, and the mesh's own directory {home} with its key would be seen in it; "
                "choose another --home"
            )


def _share(one: Path, other: Path) -> bool:
    """Return whether one of the folders is in the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)
