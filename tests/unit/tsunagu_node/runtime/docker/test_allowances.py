"""What has to be allowed by name, on the machine that would give it (test_privileges.py has what is asked for)."""

from pathlib import Path

import pytest
from google.protobuf import json_format

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition.allowances import check, check_task
from tsunagu_node.runtime.docker.settings import Allowed, Settings

NOTHING = Settings()
HOME = Path("/home/of/the/mesh")


def task(**fields) -> ecs_pb2.RegisterTaskDefinitionRequest:
    return json_format.ParseDict(fields, ecs_pb2.RegisterTaskDefinitionRequest())


def volume(path) -> ecs_pb2.RegisterTaskDefinitionRequest:
    return task(volumes=[{"name": "a", "host": {"sourcePath": str(path)}}])


@pytest.mark.parametrize(
    ("asking", "allowed"),
    [
        (task(containerDefinitions=[{"name": "app", "privileged": True}]), Allowed.PRIVILEGED),
        (task(pidMode="host"), Allowed.HOST_NAMESPACES),
        (volume("/etc"), Allowed.BINDS),
    ],
)
def test_what_reaches_beyond_the_task_has_to_be_allowed(asking, allowed):
    with pytest.raises(RuntimeFailed, match=f"start the mesh with --allow {allowed.value}"):
        check_task(asking, NOTHING, HOME)
    check_task(asking, Settings(allow=frozenset({allowed})), HOME)


def test_a_gpu_is_refused():
    gpu = json_format.ParseDict(
        {"resourceRequirements": [{"type": "GPU", "value": "1"}]}, ecs_pb2.ContainerDefinition()
    )
    with pytest.raises(RuntimeFailed, match="GPU"):
        check("app", gpu)
    check("app", ecs_pb2.ContainerDefinition())


def test_files_of_the_machine_but_the_project_s_whatever_links_lead_to_them(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "out").symlink_to("/etc")
    inside = Settings(project=str(tmp_path))
    check_task(volume(tmp_path / "code"), inside, HOME)
    for path in ("/etc", tmp_path / "out", tmp_path / ".." / "x"):
        with pytest.raises(RuntimeFailed, match=r"is not in .*--allow binds"):
            check_task(volume(path), inside, HOME)


def test_the_mesh_s_own_directory_is_shown_to_nobody_though_it_is_in_the_project(tmp_path):
    home = tmp_path / "mesh"
    home.mkdir()
    for path in (home, home / "tasks", tmp_path):
        with pytest.raises(RuntimeFailed, match=r"the mesh's own directory .* choose another --home"):
            check_task(volume(path), Settings(project=str(tmp_path)), home)
