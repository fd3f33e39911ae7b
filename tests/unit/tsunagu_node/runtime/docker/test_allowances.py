"""What has to be allowed by name."""

import pytest
from google.protobuf import json_format

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition.allowances import check, check_task
from tsunagu_node.runtime.docker.settings import Allowed, Settings

NOTHING = Settings()


def container(**fields) -> ecs_pb2.ContainerDefinition:
    return json_format.ParseDict(fields, ecs_pb2.ContainerDefinition())


def task(**fields) -> ecs_pb2.RegisterTaskDefinitionRequest:
    return json_format.ParseDict(fields, ecs_pb2.RegisterTaskDefinitionRequest())


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"privileged": True}, "privileged"),
        ({"linuxParameters": {"capabilities": {"add": ["SYS_ADMIN", "NET_ADMIN"]}}}, r"capabilities\.add SYS_ADMIN:"),
        ({"linuxParameters": {"devices": [{"hostPath": "/dev/sda"}]}}, "devices"),
        ({"dockerSecurityOptions": ["seccomp=unconfined"]}, "dockerSecurityOptions"),
    ],
)
def test_what_makes_a_container_the_machine_s_equal(fields, what):
    with pytest.raises(RuntimeFailed, match=rf"container app asks for .*{what}.*--allow privileged"):
        check("app", container(**fields), NOTHING)
    check("app", container(**fields), Settings(allow=frozenset({Allowed.PRIVILEGED})))


def test_what_stays_within_the_container_needs_no_leave():
    added = {"linuxParameters": {"capabilities": {"add": ["NET_ADMIN", "CAP_SYS_PTRACE"]}}}
    check("app", container(**added, dockerSecurityOptions=["no-new-privileges"]), NOTHING)


def test_a_gpu_is_refused():
    with pytest.raises(RuntimeFailed, match="GPU"):
        check("app", container(resourceRequirements=[{"type": "GPU", "value": "1"}]), NOTHING)


@pytest.mark.parametrize("field", ["pidMode", "ipcMode"])
def test_the_machine_s_namespaces(field):
    with pytest.raises(RuntimeFailed, match=rf"{field} host.*--allow host-namespaces"):
        check_task(task(**{field: "host"}), NOTHING)
    check_task(task(**{field: "host"}), Settings(allow=frozenset({Allowed.HOST_NAMESPACES})))
    check_task(task(**{field: "task"}), NOTHING)


def test_files_of_the_machine_but_the_project_s(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "out").symlink_to("/etc")
    inside = Settings(project=str(tmp_path))
    check_task(task(volumes=[{"name": "a", "host": {"sourcePath": str(tmp_path / "code")}}, {"name": "b"}]), inside)
    for path in ("/etc", str(tmp_path / "out"), str(tmp_path / ".." / "x")):
        with pytest.raises(RuntimeFailed, match=r"of this machine.*--allow binds"):
            check_task(task(volumes=[{"name": "a", "host": {"sourcePath": path}}]), inside)
    check_task(
        task(volumes=[{"name": "a", "host": {"sourcePath": "/etc"}}]), Settings(allow=frozenset({Allowed.BINDS}))
    )
