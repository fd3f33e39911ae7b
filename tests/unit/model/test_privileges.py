"""What reaches beyond a task is refused until it is allowed, word by word."""

import pytest
from google.protobuf.json_format import ParseDict

from tsunagu.model.privileges import WORDS, is_inside, refused
from tsunagu.v1 import ecs_pb2

PROJECT = "/home/me/shop"


def definition(container=None, **fields) -> ecs_pb2.RegisterTaskDefinitionRequest:
    containers = [{"name": "app", "image": "a", **(container or {})}]
    return ParseDict(
        {"family": "web", "containerDefinitions": containers, **fields}, ecs_pb2.RegisterTaskDefinitionRequest()
    )


def found(one, allowed=(), **more):
    return {demand.path: demand.word for demand in refused(one, PROJECT, allowed, **more)}


@pytest.mark.parametrize(
    ("container", "field"),
    [
        ({"privileged": True}, "privileged"),
        (
            {"linuxParameters": {"capabilities": {"add": ["NET_ADMIN", "SYS_ADMIN"]}}},
            "linuxParameters.capabilities.add",
        ),
        ({"linuxParameters": {"capabilities": {"add": ["cap_sys_module"]}}}, "linuxParameters.capabilities.add"),
        ({"linuxParameters": {"devices": [{"hostPath": "/dev/mem"}]}}, "linuxParameters.devices"),
        ({"dockerSecurityOptions": ["apparmor=unconfined"]}, "dockerSecurityOptions"),
        ({"dockerSecurityOptions": ["label:disable"]}, "dockerSecurityOptions"),
    ],
)
def test_what_makes_a_container_root_of_the_machine_is_refused(container, field):
    assert found(definition(container)) == {f"containerDefinitions[0].{field}": "privileged"}
    assert found(definition(container), ["privileged"]) == {}


@pytest.mark.parametrize("mode", ["pidMode", "ipcMode"])
def test_namespaces_of_the_machine_are_refused(mode):
    assert found(definition(**{mode: "host"})) == {mode: "host-namespaces"}
    assert found(definition(**{mode: "task"})) == {}


def test_folders_outside_of_the_project_are_refused_however_they_are_named():
    bound = {"driver": "local", "driverOpts": {"type": "none", "o": "bind", "device": "/"}}
    volumes = [
        {"name": "sock", "host": {"sourcePath": "/var/run/docker.sock"}},
        {"name": "own", "host": {"sourcePath": "/home/me/shop/data"}},
        {"name": "root", "dockerVolumeConfiguration": bound},
        {"name": "shared", "dockerVolumeConfiguration": {"driverOpts": {"type": "tmpfs", "device": "tmpfs"}}},
        {"name": "scratch", "host": {}},
    ]
    assert found(definition(volumes=volumes)) == {
        "volumes[0].host.sourcePath": "binds",
        "volumes[2].dockerVolumeConfiguration.driverOpts.device": "binds",
    }


def test_a_link_that_leads_out_of_the_project_is_found_by_whoever_follows_links():
    volumes = [{"name": "data", "host": {"sourcePath": "/home/me/shop/link"}}]
    links = {"/home/me/shop/link": "/etc"}
    assert found(definition(volumes=volumes)) == {}
    assert set(found(definition(volumes=volumes), resolve=lambda path: links.get(path, path)).values()) == {"binds"}


def test_a_refusal_says_what_it_is_about_and_what_would_be_right():
    (demand,) = refused(definition(volumes=[{"name": "etc", "host": {"sourcePath": "/etc"}}]), PROJECT, [])
    assert str(demand) == (
        "volume 'etc' is /etc, which is not in /home/me/shop: "
        "a container sees a folder of this machine outside of the project's"
    )
    assert demand.remedy == "if you trust this file, start the mesh with --allow binds"
    (nowhere,) = refused(definition(volumes=[{"name": "etc", "host": {"sourcePath": "/etc"}}]), "", [])
    assert "and no folder is the project's" in str(nowhere)


def test_each_word_is_of_use():
    one = definition({"privileged": True}, pidMode="host", volumes=[{"name": "a", "host": {"sourcePath": "/"}}])
    assert set(found(one).values()) == set(WORDS)


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        (PROJECT, True),
        ("/home/me/shop/a/b", True),
        ("/home/me/shop/../other", False),
        ("/home/me/shopping", False),
        ("/", False),
        ("data", False),
    ],
)
def test_a_folder_is_known_by_its_whole_name(path, inside):
    assert is_inside(path, PROJECT) is inside


def test_a_definition_that_stays_inside_of_its_task_demands_nothing():
    plain = {"linuxParameters": {"capabilities": {"add": ["NET_ADMIN", "SYS_PTRACE"], "drop": ["ALL"]}}}
    assert found(definition(plain)) == {}
