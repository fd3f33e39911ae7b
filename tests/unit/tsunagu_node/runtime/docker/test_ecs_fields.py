"""docs/ecs-fields.md says the truth of each field of a task definition: what acts changes what the engine is asked for, what does
not changes nothing, and what acts in docker alone changes nothing in the linux runtime.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import json_format

from tsunagu.model import ecs_fields
from tsunagu.v1 import ecs_pb2, objects_pb2
from tsunagu_node.runtime.contract import Network, Process
from tsunagu_node.runtime.docker.definition import bodies, container_definition, volumes
from tsunagu_node.runtime.docker.definition.container_definition import Asked
from tsunagu_node.runtime.docker.definition.site import Site
from tsunagu_node.runtime.docker.record import Record
from tsunagu_node.runtime.linux.init_client import start_request
from tsunagu_node.task import containers
from tsunagu_node.task.spec import TaskSpec

#: A task definition in which every field of this page's tables is set, but those that act in both runtimes.
FULL = {
    "family": "web",
    "networkMode": "bridge",
    "taskRoleArn": "arn:aws:iam::1:role/a",
    "executionRoleArn": "arn:aws:iam::1:role/b",
    "cpu": "512",
    "memory": "1024",
    "pidMode": "task",
    "ipcMode": "task",
    "ephemeralStorage": {"sizeInGiB": 30},
    "placementConstraints": [{"type": "memberOf", "expression": "x"}],
    "requiresCompatibilities": ["EC2"],
    "tags": [{"key": "a", "value": "b"}],
    "inferenceAccelerators": [{"deviceName": "a", "deviceType": "eia1.medium"}],
    "enableFaultInjection": True,
    "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
    "volumes": [
        {"name": "code", "host": {"sourcePath": "/home/me/shop"}, "configuredAtLaunch": True},
        {
            "name": "cache",
            "dockerVolumeConfiguration": {
                "scope": "shared",
                "autoprovision": True,
                "driver": "local",
                "driverOpts": {"type": "tmpfs"},
                "labels": {"a": "b"},
            },
        },
        {
            "name": "efs",
            "efsVolumeConfiguration": {
                "fileSystemId": "fs-1",
                "rootDirectory": "/web",
                "transitEncryption": "ENABLED",
                "transitEncryptionPort": 2049,
                "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"},
            },
        },
        {
            "name": "fsx",
            "fsxWindowsFileServerVolumeConfiguration": {
                "fileSystemId": "fs-2",
                "rootDirectory": "share",
                "authorizationConfig": {"credentialsParameter": "arn:x", "domain": "corp"},
            },
        },
    ],
    "containerDefinitions": [
        {
            "name": "app",
            "image": "shop/app:1",
            "command": ["serve"],
            "cpu": 256,
            "memory": 512,
            "memoryReservation": 128,
            "user": "1000",
            "privileged": True,
            "readonlyRootFilesystem": True,
            "interactive": True,
            "pseudoTerminal": True,
            "hostname": "web",
            "dnsServers": ["10.0.0.2"],
            "dnsSearchDomains": ["shop.internal"],
            "extraHosts": [{"hostname": "legacy", "ipAddress": "10.0.0.9"}],
            "disableNetworking": True,
            "dockerSecurityOptions": ["no-new-privileges"],
            "dockerLabels": {"team": "shop"},
            "versionConsistency": "disabled",
            "credentialSpecs": ["credentialspec:x"],
            "repositoryCredentials": {"credentialsParameter": "arn:y"},
            "environmentFiles": [{"value": "arn:z", "type": "s3"}],
            "resourceRequirements": [{"type": "InferenceAccelerator", "value": "a"}],
            "firelensConfiguration": {"type": "fluentbit", "options": {"a": "b"}},
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/a"},
                "secretOptions": [{"name": "k", "valueFrom": "arn:s"}],
            },
            "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
            "systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}],
            "mountPoints": [
                {"sourceVolume": "code", "containerPath": "/code", "readOnly": True},
                {"sourceVolume": "cache", "containerPath": "/cache"},
                {"sourceVolume": "efs", "containerPath": "/efs"},
            ],
            "volumesFrom": [{"sourceContainer": "side", "readOnly": True}],
            "portMappings": [{"containerPort": 80, "hostPort": 8080, "containerPortRange": "90-92"}],
            "linuxParameters": {
                "initProcessEnabled": True,
                "sharedMemorySize": 64,
                "maxSwap": 100,
                "swappiness": 10,
                "capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW"]},
                "devices": [{"hostPath": "/dev/fuse", "containerPath": "/dev/f", "permissions": ["read"]}],
                "tmpfs": [{"containerPath": "/run", "size": 16, "mountOptions": ["noexec"]}],
            },
        },
        {"name": "side", "image": "shop/side:1", "command": ["wait"]},
    ],
}
#: Fields that only a task definition without the others could have, or whose refusal or use is tested elsewhere.
ELSEWHERE = frozenset(
    {
        "RegisterTaskDefinitionRequest.proxyConfiguration",  # refused
        "RegisterTaskDefinitionRequest.trustedExecutionConfiguration",
        "Volume.s3filesVolumeConfiguration",
    }
)


def definition() -> ecs_pb2.RegisterTaskDefinitionRequest:
    return json_format.ParseDict(FULL, ecs_pb2.RegisterTaskDefinitionRequest())


def asked_of_an_engine(one: ecs_pb2.RegisterTaskDefinitionRequest):
    """Everything that an engine is asked for when a task of this definition is made."""
    site = Site("0a1b2c3d4e5f", "web-1", Path("/home/mesh"), Path("/home/mesh"), "1000:1000")
    made = [
        container_definition.body(Asked(site, Process(plan.name, plan.image, {}, plan.cwd), plan.image, "PAUSE", one))
        for plan in containers.plans(one)
    ]
    hosts = Record.of("10.0.0.5", Network(definition=one)).own_lines("web-1")
    return [*made, bodies.pause(site, "pause:1", "10.0.0.5", one), volumes.of_task(site, one), hosts]


def done_by_linux(one: ecs_pb2.RegisterTaskDefinitionRequest):
    """Everything that the linux runtime does for a task of this definition."""
    plans = containers.plans(one)
    spec = TaskSpec("default/web-1", objects_pb2.Task(), objects_pb2.ServiceRevision(task_definition=one))
    requests = [start_request(Process(plan.name, plan.image, {}, plan.cwd), "/tasks/web-1") for plan in plans]
    return [*requests, *(replace(plan, image=None) for plan in plans), spec.links, spec.network.nat]


def members(message) -> Iterator[tuple[str, object, str]]:
    """(`Message.field`, the message, the field's name in it) of every field that is set."""
    for field, value in message.ListFields():
        yield f"{message.DESCRIPTOR.name}.{field.json_name}", message, field.name
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for inner in value if field.is_repeated else [value]:
                yield from members(inner)


def within_reach() -> set[str]:
    """The fields of a task definition's own messages."""
    found, waiting = set(), [ecs_pb2.RegisterTaskDefinitionRequest.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.GetOptions().map_entry:
            continue
        found |= {f"{message.name}.{field.json_name}" for field in message.fields}
        inner = [field.message_type for field in message.fields if field.message_type is not None]
        known = {name.partition(".")[0] for name in found}
        waiting += [one for one in inner if one.name not in known and one.file.name == message.file.name]
    return found


TABLE = ecs_fields.table()
IN_BOTH = {name for name, row in TABLE.items() if row.effect == ecs_fields.ACTS}
SET = sorted({name for name, *_ in members(definition())} - IN_BOTH)


def without(name: str) -> ecs_pb2.RegisterTaskDefinitionRequest:
    one = definition()
    for found, message, field in list(members(one)):
        if found == name:
            message.ClearField(field)
    return one


@pytest.mark.parametrize("name", SET)
def test_a_field_does_what_the_page_says(name):
    before, after = definition(), without(name)
    acts = TABLE[name].effect_in(ecs_fields.DOCKER) == ecs_fields.ACTS
    assert (asked_of_an_engine(before) != asked_of_an_engine(after)) is acts
    assert done_by_linux(before) == done_by_linux(after)


def test_every_field_that_does_not_act_in_both_runtimes_is_tried():
    classed = {name for name in within_reach() if name not in IN_BOTH}
    parts = {name for name in classed if TABLE[name].fields == ecs_fields.EVERY and not TABLE[name].in_docker}
    assert classed - parts - set(SET) - ELSEWHERE == set()
