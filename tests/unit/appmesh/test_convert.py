"""App Mesh's files and what becomes of them: `cases/NAME/in` beside `out.yaml` and `notes.txt`. `TSUNAGU_REWRITE=1` writes."""

import json
import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tsunagu.appmesh import classes, reading, task_definitions
from tsunagu.appmesh.convert import convert
from tsunagu.appmesh.manifest import manifest
from tsunagu.appmesh.shapes import members
from tsunagu.model import ids
from tsunagu.model.manifests import formats
from tsunagu.model.rules.validate import check_batch

CASES = sorted((Path(__file__).parent / "cases").iterdir())


def files(case):
    return {path.name: path.read_text() for path in sorted((case / "in").iterdir())}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_files_become(case):
    found = convert(files(case))
    told = [(word, getattr(found, word)) for word in ("errors", "refused", "notes")]
    notes = "".join(f"{word}: {issue}\n" for word, issues in told for issue in issues)
    for name, text in (("out.yaml", manifest(found.documents)), ("notes.txt", notes)):
        path = case / name
        if os.environ.get("TSUNAGU_REWRITE"):
            path.write_text(text)
        assert path.read_text() == text


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "refused"], ids=lambda case: case.name)
def test_what_is_made_is_sound(case):
    """It is taken as it is, but for task definitions, which App Mesh's files do not have, and a caFile, which `apply` reads."""
    found = convert(files(case))
    made = {one.document["family"] for one in found.documents if one.document["kind"] == "TaskDefinition"}
    wanted = [one.document for one in found.documents if one.document["kind"] == "Service"]
    text = manifest(found.documents) + "".join(
        f"---\n{json.dumps(task_definition(one))}\n" for one in wanted if one["taskDefinition"] not in made
    )
    read = formats.read_all([formats.Source("out.yaml", text)])
    assert [issue for issue in read.issues if issue.path != "tls.caFile"] == []
    objects = [ids.make(one.kind, one.name, one.message) for one in read.documents]
    for obj in objects:
        if ids.kind_of(obj) == "TaskDefinition":
            obj.meta.name += ":1"
            obj.task_definition.revision = 1
    cluster = formats.read_all([formats.Source("c.yaml", "{kind: Cluster, clusterName: default}")]).documents[0]
    found = check_batch([*objects, ids.make("Cluster", "default", cluster.message)], [], {})
    assert [issue for issue in found if issue.path != "tls.caFile"] == []


def task_definition(service):
    ports = {one["portName"] for one in service["serviceConnectConfiguration"].get("services", ())}
    protocols = {name: protocol(name) for name in ports}
    mappings = [
        {"name": name, "containerPort": 7000 + index} | ({"appProtocol": its} if its else {})
        for index, (name, its) in enumerate(sorted(protocols.items()))
    ]
    app = {"name": "app", "image": "app", "command": ["serve"], "portMappings": mappings}
    return {"kind": "TaskDefinition", "family": service["taskDefinition"], "networkMode": "awsvpc", "memory": "64",
            "containerDefinitions": [app]}  # fmt: skip


def protocol(name):
    return {"db": "", "stock": "", "rpc": "grpc", "b-9000": "grpc", "green-9001": "grpc", "green-9002": "http2"}.get(
        name, "http"
    )


def converted(shape):
    """SHAPE.MEMBER of everything under a shape that is neither without meaning here nor refused."""
    for member in members(shape).values():
        if classes.of(shape, member.name) is None:
            if member.kind == "part":
                yield from converted(member.shape)
            else:
                yield f"{shape}.{member.name}"


def test_every_member_that_is_not_classed_is_read():
    read = set()
    original = reading.Part.get

    def get(self, name, default=None):
        if name in self.values:
            read.add(f"{self.shape}.{name}")
        return original(self, name, default)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading.Part, "get", get)
        for case in CASES:
            convert(files(case))
    wanted = {one for kind in reading.KINDS for one in converted(f"Create{kind}Input")}
    assert sorted(wanted - read) == []


WRONG = [
    ({"meshName": "m", "virtualNodeName": "a", "spec": {"listener": []}}, "has no such member"),
    ({"meshName": "m", "virtualNodeName": "a", "spec": {"listeners": {}}}, "must be a list"),
    ({"meshName": "m", "virtualNodeName": "a", "spec": {"listeners": [{}]}}, "portMapping: is missing"),
    (
        {
            "meshName": "m",
            "virtualNodeName": "a",
            "spec": {"listeners": [{"portMapping": {"port": "80", "protocol": "http"}}]},
        },
        "spec.listeners[0].portMapping.port: must be a number",
    ),
    ({"meshName": 1, "virtualNodeName": "a", "spec": {}}, "meshName: must be the name of one"),
    ({"virtualNodeName": "a", "spec": {}}, "meshName: must be the name of one"),
    ({"virtualRouters": []}, "aws appmesh describe-virtual-router"),
    (
        {"meshName": "m", "virtualRouterName": "r", "routeName": "a", "spec": {}},
        "there is no appmesh/VirtualRouter 'r'",
    ),
    (
        {"meshName": "m", "virtualServiceName": "a", "spec": {"provider": {"virtualNode": {"virtualNodeName": "b"}}}},
        "there is no appmesh/VirtualNode 'b' in mesh m",
    ),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_a_fault_of_a_file_is_told_with_its_place(content, message):
    found = convert({"a.json": json.dumps(content, indent=1)})
    assert any(message in str(issue) and str(issue).startswith("a.json:") for issue in found.errors), found.errors


def test_what_is_not_json():
    assert "neither JSON nor YAML" in str(convert({"a.json": "{"}).errors[0])


def test_names_that_would_become_one():
    node = {"meshName": "m", "spec": {}}
    found = convert({name: json.dumps({**node, "virtualNodeName": name}) for name in ("Web", "web")})
    assert "would both be called web" in str(found.errors[0])


def test_a_task_definition_without_app_mesh_is_none_of_ours():
    assert task_definitions.of("a.json", {"containerDefinitions": [{"name": "a", "image": "b"}]}) is None


def test_documents_can_be_read_again():
    text = manifest(convert(files(CASES[0])).documents)
    assert all(one["kind"] for one in YAML().load_all(text))
