"""AWS's limits on sizes: what is too large is refused where it is written."""

import pytest

from tsunagu.model import ids
from tsunagu.model.rules.validate import check
from tsunagu.v1 import ecs_pb2, objects_pb2


def task_definition(value="", containers=1, **container):
    spec = ecs_pb2.RegisterTaskDefinitionRequest(family="web")
    for index in range(containers):
        one = spec.container_definitions.add(name=f"app{index}", image="web", command=["serve"], **container)
        one.environment.add(name="LARGE", value=value)
    return ids.make("TaskDefinition", "web:1", objects_pb2.TaskDefinition(spec=spec, revision=1))


def messages(obj):
    return [(one.path, one.message) for one in check(obj, {})]


def test_a_task_definition_has_64_kib_as_json():
    assert messages(task_definition("x" * 65_000)) == []
    assert messages(task_definition("x" * 4_300_000)) == [
        ("", "the task definition is 4,300,135 bytes as JSON, more than the 65,536 that AWS takes")
    ]


def test_what_its_json_adds_counts():
    """16,000 newlines are 32,000 characters in JSON, and a character of three bytes has three."""
    assert messages(task_definition("\n" * 32_000)) == []
    assert len(messages(task_definition("\n" * 33_000))) == 1
    assert len(messages(task_definition("\u7e4b" * 22_000))) == 1


def test_a_secret_has_64_kib():
    assert messages(ids.make("SecretValue", "token", objects_pb2.SecretValue(value=b"x" * 65_536))) == []
    [(path, message)] = messages(ids.make("SecretValue", "token", objects_pb2.SecretValue(value=b"x" * 65_537)))
    assert (path, message) == ("value", "the secret is 65,537 bytes, more than the 65,536 that AWS takes")


@pytest.mark.parametrize(
    ("obj", "path", "message"),
    [
        (task_definition(containers=11), "containerDefinitions", "has 11 elements, more than the 10 that AWS takes"),
        (
            task_definition(environment_files=[ecs_pb2.EnvironmentFile(value="s3://a", type="s3")] * 11),
            "containerDefinitions[0].environmentFiles",
            "has 11 elements, more than the 10 that AWS takes",
        ),
    ],
)
def test_lists_have_as_many_elements_as_aws_takes(obj, path, message):
    assert (path, message) in messages(obj)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"IMAGES": "x" * 140_000}, "IMAGES is 140,008 bytes, more than the 131,072 that Linux starts a program with"),
        ({f"V{index}": "x" * 100_000 for index in range(21)}, "environment and arguments are 2,100"),
        ({"FITS": "x" * 131_000}, ""),
    ],
)
def test_what_a_container_is_started_with_fits_into_the_kernels_limits(environment, told):
    image = ids.make("Image", "web", objects_pb2.Image(pattern="web", environment=environment))
    found = [one.message for one in check(task_definition(), {"Image": {"web": image}})]
    assert [message.startswith(told) for message in found] == ([True] if told else [])
