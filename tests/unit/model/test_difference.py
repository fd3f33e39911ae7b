"""What a dry run says of an object that would change."""

from google.protobuf import json_format

from tests.unit.model.test_plan import BOTH, applied, made
from tsunagu.client.apply import summary
from tsunagu.model import ids
from tsunagu.model.difference import difference
from tsunagu.v1 import objects_pb2


def definition(**fields) -> objects_pb2.Object:
    spec = json_format.ParseDict({"family": "web", **fields}, objects_pb2.TaskDefinition().spec)
    return ids.make("TaskDefinition", "web:1", objects_pb2.TaskDefinition(spec=spec, revision=1))


def container(**fields) -> dict:
    return {"containerDefinitions": [{"name": "web", "image": "web:1", **fields}]}


def test_elements_are_called_by_their_names():
    before = definition(**container(environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]))
    after = definition(
        **container(command=["x"], environment=[{"name": "B", "value": "3"}, {"name": "C", "value": "4"}])
    )
    assert sorted(difference(before, after)) == [
        '+ containerDefinitions[web].command: ["x"]',
        '+ containerDefinitions[web].environment[C]: "4"',
        '- containerDefinitions[web].environment[A]: "1"',
        'containerDefinitions[web].environment[B]: "2" -> "3"',
    ]


def test_what_looks_like_a_secret_is_masked_and_told_all_the_same():
    before = definition(**container(environment=[{"name": "DB_PASSWORD", "value": "old"}]))
    after = definition(**container(environment=[{"name": "DB_PASSWORD", "value": "new"}]))
    [line] = difference(before, after)
    assert line == 'containerDefinitions[web].environment[DB_PASSWORD]: "[masked]" -> "[masked]"'


def test_unmasked_it_is_shown():
    before = definition(**container(environment=[{"name": "DB_PASSWORD", "value": "old"}]))
    after = definition(**container(environment=[{"name": "DB_PASSWORD", "value": "new"}]))
    [line] = difference(before, after, unmask=True)
    assert line == 'containerDefinitions[web].environment[DB_PASSWORD]: "old" -> "new"'


def test_a_secrets_value_is_never_shown():
    secrets = [ids.make("SecretValue", "a", objects_pb2.SecretValue(value=value)) for value in (b"old", b"new")]
    for unmask in (False, True):
        assert list(difference(*secrets, unmask=unmask)) == ["value: [masked] -> [masked]"]


def test_a_dry_run_compares_a_task_definition_with_the_revision_before_it():
    found = made(
        BOTH.replace("[serve]", "[serve, fast]").replace("desiredCount: 2", "desiredCount: 3"), applied(made(BOTH))
    )
    assert list(summary(found, dry_run=True)) == [
        "task definition web:2 would be created",
        '    containerDefinitions[web].command: ["serve"] -> ["serve", "fast"]',
        "service default/web would be changed",
        '    taskDefinition: "web:1" -> "web:2"',
        "    desiredCount: 2 -> 3",
    ]
    assert not any(line.startswith(" ") for line in summary(found))
