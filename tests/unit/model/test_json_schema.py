"""The schema that editors are given accepts what validation accepts, and knows names, types and values."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from tsunagu.model.json_schema import schema

VALIDATOR = jsonschema.Draft202012Validator(schema())
ROOT = Path(__file__).parents[3]
VERDICTS = [
    path for path in (Path(__file__).parent / "verdicts").iterdir() if path.suffix in (".json", ".yaml", ".yml")
]
VALID = [
    *sorted((ROOT / "examples").rglob("*.yaml")),
    *sorted((ROOT / "examples" / "aws-pairs").rglob("*.json")),
    *sorted(path for path in VERDICTS if "error:" not in path.with_name(f"{path.name}.txt").read_text()),
]


def faults(document: object) -> list[str]:
    return [f"{'/'.join(map(str, one.absolute_path))}: {one.message}" for one in VALIDATOR.iter_errors(document)]


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(schema())))


@pytest.mark.parametrize("path", VALID, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_valid_is_valid_by_the_schema(path: Path):
    found = YAML(typ="safe").load_all(path.read_text())
    assert [fault for one in found if one is not None for fault in faults(one)] == []


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"kind": "Service", "serviceNam": "a"}, "serviceNam"),
        ({"kind": "Servise"}, "kind"),
        ({"kind": "Image", "pattern": "a", "healthCheck": 5}, "healthCheck"),
        (
            {
                "family": "a",
                "containerDefinitions": [{"name": "a", "image": "b", "portMappings": [{"containerPort": "80"}]}],
            },
            "containerPort",
        ),
        ({"family": "a", "networkMode": "awsvcp", "containerDefinitions": []}, "networkMode"),
        ({"serviceName": "a b", "taskDefinition": "a"}, "serviceName"),
        ({"serviceName": "a", "taskDefinition": "a", "desiredCount": 1001}, "desiredCount"),
        ({"kind": "Gateway", "name": "front", "namespace": "shop"}, "ports"),
    ],
)
def test_what_is_wrong_is_told_where_it_is(document: dict, place: str):
    assert any(place in fault for fault in faults(document))


def test_what_a_field_does_here_is_said():
    container = schema()["$defs"]["ContainerDefinition"]["properties"]
    assert container["logConfiguration"]["description"].startswith("accepted, no effect here:")
