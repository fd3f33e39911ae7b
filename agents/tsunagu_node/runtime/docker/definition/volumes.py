"""The volumes of a task definition, as mounts of its containers. Pure.

Rule: what the task definition only calls by a name (`{"name": "scratch"}`) lives as long as the task; what it gives a path,
or shares, is not ours to take away.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.docker.definition.places import bind
from tsunagu_node.runtime.docker.definition.site import MESH, TASK, Site, network

EFS: Final = "efs"
"""The folder in the mesh's directory that stands in for AWS's file systems, a folder for each."""
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9-]")


def mounts(
    site: Site, task: ecs_pb2.RegisterTaskDefinitionRequest, container: ecs_pb2.ContainerDefinition
) -> list[dict[str, Any]]:
    """Return the container's mounts, one for each of its mountPoints."""
    by_name = {one.name: one for one in task.volumes}
    return [
        {**_source(site, by_name[one.source_volume]), "Target": one.container_path, "ReadOnly": one.read_only}
        for one in container.mount_points
        if one.source_volume in by_name
    ]


def folders(site: Site, task: ecs_pb2.RegisterTaskDefinitionRequest) -> list[Path]:
    """Return the folders that have to be made before the task: those that stand in for file systems of AWS."""
    if site.composed:
        return []
    return [_efs(site, one) for one in task.volumes if one.HasField("efs_volume_configuration")]


def of_task(site: Site, task: ecs_pb2.RegisterTaskDefinitionRequest) -> list[str]:
    """Return the names of the volumes that go with the task."""
    return [*site.places.volumes, *_named(site, task)]


def _named(site: Site, task: ecs_pb2.RegisterTaskDefinitionRequest) -> list[str]:
    return [site.volume(one.name) for one in task.volumes if _goes_with_task(one)]


def host_paths(task: ecs_pb2.RegisterTaskDefinitionRequest) -> Iterable[str]:
    """Return the paths of the machine that the task definition names; Docker's own driver mounts one, too, when it is told so."""
    for one in task.volumes:
        device = one.docker_volume_configuration.driver_opts.get("device", "")
        yield from (path for path in (one.host.source_path, device) if path.startswith("/"))


def _source(site: Site, volume: ecs_pb2.Volume) -> dict[str, Any]:
    if volume.host.source_path:
        return bind(volume.host.source_path, "")
    if volume.HasField("efs_volume_configuration"):
        if site.composed:  # a folder of the agent's container is none of the machine's
            name = f"{network(site.mesh)}-{EFS}-{volume.efs_volume_configuration.file_system_id}"
            return {"Type": "volume", "Source": name}
        return bind(_efs(site, volume), "")
    configuration = volume.docker_volume_configuration
    if not _goes_with_task(volume):
        return {"Type": "volume", "Source": volume.name, "VolumeOptions": _options(configuration, {})}
    labels = {MESH: site.mesh, TASK: site.task}
    return {"Type": "volume", "Source": site.volume(volume.name), "VolumeOptions": _options(configuration, labels)}


def _options(configuration: ecs_pb2.DockerVolumeConfiguration, labels: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {"Labels": {**configuration.labels, **labels}}
    if configuration.driver:
        options["DriverConfig"] = {"Name": configuration.driver, "Options": dict(configuration.driver_opts)}
    return options


def _goes_with_task(volume: ecs_pb2.Volume) -> bool:
    if volume.host.source_path or volume.HasField("efs_volume_configuration"):
        return False
    return volume.docker_volume_configuration.scope != "shared"


def _efs(site: Site, volume: ecs_pb2.Volume) -> Path:
    configuration = volume.efs_volume_configuration
    inside = os.path.normpath(f"/{configuration.root_directory}").lstrip("/")  # `..` does not lead out of it
    return site.home / EFS / _NO_NAME.sub("_", configuration.file_system_id) / inside
