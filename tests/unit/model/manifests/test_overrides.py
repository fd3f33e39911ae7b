"""An AWS file is changed in single values, and not copied: ``kind: Override`` and ``--set``."""

import json

import pytest

from tsunagu.model.manifests.formats import CommandLine, Reading, Source, read_all
from tsunagu.model.plan import plan

TASK = {
    "family": "orders",
    "containerDefinitions": [
        {
            "name": "app",
            "image": "orders:1",
            "command": ["serve"],
            "environment": [{"name": "DB", "value": "{{ must_env `DB` }}"}],
            "secrets": [{"name": "TOKEN", "valueFrom": "arn:aws:ssm:token"}],
        },
        {"name": "side", "image": "side:1", "command": ["side"], "essential": False},
    ],
}
SERVICE = {"serviceName": "orders", "taskDefinition": "orders:7", "desiredCount": 4}
FILES = [Source("task.json", json.dumps(TASK)), Source("service.json", json.dumps(SERVICE))]


def reading(override: str = "", *sets: str) -> Reading:
    more = [Source("local.yaml", override)] if override else []
    return read_all([*FILES, *more], CommandLine(sets=sets))


def container(found: Reading, index: int = 0):
    task = next(one for one in found.documents if one.kind == "TaskDefinition")
    return task.message.spec.container_definitions[index]


def variables(found: Reading, index: int = 0) -> dict[str, str]:
    return {one.name: one.value for one in container(found, index).environment}


def test_an_override_changes_what_it_names_and_is_no_object():
    text = "{kind: Override, service: orders, container: side, command: [sleep, '1'], image: 'x:2', desiredCount: 1}"
    found = reading(text, "orders/TOKEN=t")
    assert found.issues == ()
    assert [one.kind for one in found.documents] == ["TaskDefinition", "Service"]
    assert (list(container(found, 1).command), container(found, 1).image) == (["sleep", "1"], "x:2")
    assert found.documents[1].message.spec.desired_count == 1


def test_a_set_finds_the_container_that_has_the_variable():
    found = reading("", "orders/DB=localhost=1")
    assert variables(found) == {"DB": "localhost=1"}
    assert found.documents[0].unrendered == ()


def test_a_variable_that_was_a_secret_needs_no_value_any_more():
    found = reading("", "orders/TOKEN=x")
    assert (variables(found)["TOKEN"], list(container(found).secrets)) == ("x", [])
    assert plan(found.documents, {}).issues == ()


def test_the_command_line_wins_and_names_a_container():
    found = reading(
        "{kind: Override, service: orders, container: side, environment: {A: '1', B: '2'}}", "orders/side/A=3"
    )
    assert variables(found, 1) == {"A": "3", "B": "2"}


@pytest.mark.parametrize(
    ("override", "sets", "told"),
    [
        (
            "{kind: Override, service: order, desiredCount: 1}",
            [],
            "local.yaml:1: service: there is no service 'order' in these files; did you mean \"orders\"?",
        ),
        ("{kind: Override, desiredCount: 1}", [], "service is missing"),
        (
            "{kind: Override, service: orders, command: [x]}",
            [],
            "'orders' has several containers; name one of app, side",
        ),
        (
            "{kind: Override, service: orders, container: ap, command: [x]}",
            [],
            "there is no container 'ap'; did you mean \"app\"?",
        ),
        ("{kind: Override, service: orders, desiredCount: -1}", [], "-1 is out of range"),
        ("", ["orders=1"], "--set orders: names no variable of a service; write SERVICE/NAME=VALUE"),
        ("", ["a/b/c/D=1"], "names no variable"),
        ("", ["orders/NEW=1"], "--set orders/NEW: 'orders' has several containers"),
    ],
)
def test_what_an_override_means_must_be_there(override: str, sets: list[str], told: str):
    assert any(told in str(one) for one in reading(override, *sets).issues)


def test_who_shares_the_task_definition_is_told():
    also = Source("also.json", json.dumps({**SERVICE, "serviceName": "audit"}))
    found = read_all([*FILES, also], CommandLine(sets=("orders/DB=x",)))
    assert [one.message for one in found.notes] == [
        "this changes default/audit too, of the same task definition orders"
    ]


def test_a_task_definition_that_is_not_there_cannot_be_changed():
    found = read_all(FILES[1:], CommandLine(sets=("orders/DB=x",)))
    assert "task definition 'orders' of 'orders' is not in these files" in str(found.issues[0])
