"""What the command line points at: files, folders of real repositories, and what is none of these."""

import json

import pytest

from tsunagu.client import apply, manifest_files
from tsunagu.client.manifest_files import read_all, read_manifests
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests.reading import CommandLine

TASK = {"family": "web", "containerDefinitions": [{"name": "web", "image": "web:1", "command": ["sleep", "60"]}]}


@pytest.fixture
def repository(tmp_path):
    """As ecspresso's users have it: the service's name and cluster stand in the tool's configuration."""
    files = {
        "ecs-task-def.json": json.dumps({**TASK, "cpu": None}),
        "ecs-service-def.json": json.dumps({"desiredCount": 1, "launchType": "FARGATE", "deployments": []}),
        "ecspresso.yml": "cluster: shop\nservice: web\nservice_definition: ecs-service-def.json\ntask_definition: ecs-task-def.json\n",
        "package.json": '{"name": "web", "scripts": {}}',
        "compose.yaml": "services: {web: {image: nginx}}",
        "deploy.yml": "name: deploy\non: push\njobs: {}\n",
        "main.tf": 'resource "aws_ecs_service" "web" {}\n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_folder_says_in_one_screen_what_is_missing_and_what_to_write(repository):
    with pytest.raises(ManifestError) as refused:
        apply.planned(read_all([repository]), {}, {})
    assert [str(one).removeprefix(f"{repository}/") for one in refused.value.issues] == [
        "ecs-service-def.json:1: serviceName is missing; write it, or give --service-name NAME",
        "ecs-service-def.json:1: taskDefinition is missing; write the family of a task definition",
    ]


def test_a_folder_comes_up_by_the_road_that_its_notes_tell(repository):
    reading = read_all([repository], CommandLine(service="web", cluster="shop"))
    made = apply.planned(reading, {}, {})
    assert [change.name for change in made.changes] == ["shop", "web:1", "shop/web"]
    notes = [
        line.removeprefix(f"note: {repository}/")
        for line in apply.warnings(made, reading.notes)
        if line.startswith("note")
    ]
    assert [note.partition(":")[0] for note in notes] == [
        *("compose.yaml", "deploy.yml", "ecspresso.yml", "package.json"),
        *("ecs-task-def.json", "ecs-service-def.json"),
    ]
    assert "`tsunagu up --service-name web --cluster shop ecs-service-def.json ecs-task-def.json`" in notes[2]
    assert not any(line.startswith("note") for line in apply.warnings(made, reading.notes, quiet=True))


def test_a_folder_of_other_tools_files_alone_names_them(tmp_path):
    (tmp_path / "compose.yaml").write_text("services: {web: {image: nginx}}")
    (tmp_path / "template.yaml").write_text("Resources: {A: {Type: AWS::ECS::Service}}")
    issues = [str(one).removeprefix(str(tmp_path)) for one in read_all([tmp_path]).issues]
    assert issues[0] == ": holds no manifest, only these files:"
    assert issues[1].startswith("/compose.yaml:1: is a compose file, which is not read; write a task definition")
    assert issues[2].startswith("/template.yaml:1: is a CloudFormation template, which is not read; ask AWS")


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ("web", "--service-name web names nothing: no service here is without a name; leave it out"),
        ("", ""),
    ],
)
def test_a_name_that_no_service_needs_is_an_issue(tmp_path, service, told):
    (tmp_path / "a.json").write_text(json.dumps(TASK))
    assert "".join(map(str, read_all([tmp_path], CommandLine(service=service)).issues)) == told


def test_one_name_is_for_one_service(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text('{"taskDefinition": "web", "desiredCount": 1}')
    issues = read_all([tmp_path], CommandLine(service="web")).issues
    assert any("names one service, and 2 have no name" in str(one) for one in issues)


def test_a_file_without_end_is_refused_and_the_others_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest_files, "MOST_BYTES", 4 * 1024 * 1024)
    (tmp_path / "a.json").write_text(json.dumps(TASK))
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    found = read_all([tmp_path / "endless.yaml", tmp_path / "a.json", tmp_path / "none.json"])
    assert [one.name for one in found.documents] == ["web"]
    assert [one.message for one in found.issues] == [
        "is larger than 4 MiB, as no manifest is",
        "cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_as_editors_and_shells_write_them(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes(json.dumps(TASK).encode(encoding))
    assert [one.name for one in read_manifests([tmp_path])] == ["web"]
