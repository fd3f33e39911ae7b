"""Each field of a container definition, and what an engine is asked for it: the whole table against a file (`TSUNAGU_REWRITE=1`)."""

import json
import os
from pathlib import Path

import pytest
from google.protobuf import json_format

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.contract import Image, Process
from tsunagu_node.runtime.docker.definition import container_definition
from tsunagu_node.runtime.docker.definition.container_definition import Asked
from tsunagu_node.runtime.docker.definition.site import Site, Traits

PLAIN = Traits()
GOLDEN = Path(__file__).with_name("container_definitions.json")


def asked(container: dict, task: dict | None = None, traits: Traits = PLAIN, **process) -> Asked:
    definition = json_format.ParseDict({"name": "app", "image": "shop:1", **container}, ecs_pb2.ContainerDefinition())
    whole = json_format.ParseDict(task or {}, ecs_pb2.RegisterTaskDefinitionRequest())
    site = Site("0a1b2c3d4e5f", "web-1", Path("/home/mesh"), Path("/home/mesh"), "1000:1000", traits)
    image = Image(definition.image, tuple(definition.entry_point), tuple(definition.command), definition)
    return Asked(site, Process("app", image, **process), image, "PAUSE", whole)


def body(container: dict, task: dict | None = None, **more) -> dict:
    made = container_definition.body(asked(container, task, **more))
    made["Labels"].pop("tsunagu.body")
    return made


def test_what_is_not_given_is_the_image_s_own():
    made = body({})
    assert not {"Entrypoint", "Cmd", "User", "WorkingDir", "Env", "Tty"} & made.keys()
    assert not {"Memory", "CpuShares", "CapDrop", "CapAdd", "Mounts", "Init", "Privileged"} & made["HostConfig"].keys()
    assert made["Healthcheck"] == {"Test": ["NONE"]}
    assert made["HostConfig"]["NetworkMode"] == "container:PAUSE"
    assert made["HostConfig"]["RestartPolicy"] == {"Name": "no"}


CASES = {
    "command": ({"entryPoint": ["sh", "-c"], "command": ["echo hello"]}, {}),
    "user and folder": ({"user": "1000:50"}, {}),
    "limits of a container": ({"cpu": 256, "memory": 512, "memoryReservation": 128}, {"cpu": "1024", "memory": "2048"}),
    "limits of the task": ({}, {"cpu": ".5 vCPU", "memory": "1 GB"}),
    "cpu of one": ({"cpu": 1}, {}),
    "swap": ({"memory": 100, "linuxParameters": {"maxSwap": 50, "swappiness": 10}}, {}),
    "swappiness alone": ({"memory": 100, "linuxParameters": {"swappiness": 10}}, {}),
    "linux": (
        {
            "linuxParameters": {
                "initProcessEnabled": True,
                "sharedMemorySize": 64,
                "capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW"]},
                "tmpfs": [{"containerPath": "/run", "size": 16, "mountOptions": ["noexec"]}],
                "devices": [{"hostPath": "/dev/fuse", "permissions": ["read", "write"]}, {"hostPath": "/dev/null"}],
            },
            "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
            "systemControls": [
                {"namespace": "net.core.somaxconn", "value": "1024"},
                {"namespace": "kernel.msgmax", "value": "65536"},
            ],
        },
        {},
    ),
    "read-only and privileged": ({"readonlyRootFilesystem": True, "privileged": True}, {}),
    "terminal": ({"pseudoTerminal": True, "interactive": True}, {}),
    "labels and options": ({"dockerLabels": {"team": "shop"}, "dockerSecurityOptions": ["no-new-privileges"]}, {}),
    "no network": ({"disableNetworking": True}, {}),
    "namespaces of the task": ({}, {"pidMode": "task", "ipcMode": "task"}),
    "namespaces of the machine": ({}, {"pidMode": "host", "ipcMode": "host"}),
    "volumes": (
        {
            "mountPoints": [
                {"sourceVolume": "scratch", "containerPath": "/scratch"},
                {"sourceVolume": "code", "containerPath": "/code", "readOnly": True},
                {"sourceVolume": "shared", "containerPath": "/shared"},
                {"sourceVolume": "efs", "containerPath": "/efs"},
            ],
            "volumesFrom": [{"sourceContainer": "base", "readOnly": True}, {"sourceContainer": "other"}],
        },
        {
            "volumes": [
                {"name": "scratch"},
                {"name": "code", "host": {"sourcePath": "/srv/code"}},
                {
                    "name": "shared",
                    "dockerVolumeConfiguration": {
                        "scope": "shared",
                        "driver": "local",
                        "driverOpts": {"type": "tmpfs"},
                        "labels": {"a": "b"},
                    },
                },
                {"name": "efs", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/../data"}},
            ]
        },
    ),
}


def test_each_field_is_what_the_file_says():
    made = {name: body(container, task) for name, (container, task) in CASES.items()}
    bare = body({})
    told = {name: difference(one, bare) for name, one in made.items()}
    text = json.dumps(told, indent=1, sort_keys=True) + "\n"
    if os.environ.get("TSUNAGU_REWRITE"):
        GOLDEN.write_text(text)
    assert GOLDEN.read_text() == text


def difference(made: dict, bare: dict) -> dict:
    """What differs from a definition that says nothing."""
    host = {key: value for key, value in made["HostConfig"].items() if bare["HostConfig"].get(key) != value}
    own = {key: value for key, value in made.items() if key != "HostConfig" and bare.get(key) != value}
    return {**own, **({"HostConfig": host} if host else {})}


def test_a_process_brings_its_environment_and_its_folder():
    made = body({}, env={"A": "1", "B": "x=y"}, cwd="/srv")
    assert made["Env"] == ["A=1", "B=x=y"]
    assert made["WorkingDir"] == "/srv"


@pytest.mark.parametrize(
    ("traits", "members"),
    [
        (
            Traits(log_driver="json-file"),
            {"LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}},
        ),
        (Traits(userns=True), {"UsernsMode": "host"}),
        (Traits(selinux=True), {"SecurityOpt": ["label=disable"]}),
    ],
)
def test_what_differs_from_engine_to_engine(traits, members):
    assert members.items() <= body({}, traits=traits)["HostConfig"].items()


def test_the_same_request_has_the_same_seal_and_another_one_another():
    seals = [container_definition.body(asked(one))["Labels"]["tsunagu.body"] for one in ({}, {}, {"user": "1"})]
    assert seals[0] == seals[1] != seals[2]


def test_every_field_that_acts_has_a_row():
    fields = {row.field for row in (*container_definition.CONFIG, *container_definition.HOST)}
    assert len(fields) == len(container_definition.CONFIG) + len(container_definition.HOST)
