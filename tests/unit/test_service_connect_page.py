"""docs/service-connect.md has a row for every field, and what it says of tests and rules is so."""

import re
from pathlib import Path

import pytest

from tests.unit.model import test_service_connect_rules as rules
from tsunagu.v1 import ecs_pb2

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "service-connect.md").read_text()
MESSAGES = [
    "ServiceConnectConfiguration",
    "ServiceConnectService",
    "ServiceConnectClientAlias",
    "TimeoutConfiguration",
    "ServiceConnectAccessLogConfiguration",
    "ServiceConnectContainerConfiguration",
]
SHOWN_BY = "tests/e2e/test_service_connect_*.py"


def rows(title):
    """The cells of each row of the tables below a heading."""
    [below] = re.findall(rf"^### {title}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for line in below.splitlines() if line.startswith("| `")]
    return {line.split("`")[1]: [cell.strip() for cell in line.split("|")[1:-1]] for line in lines}


@pytest.mark.parametrize("message", MESSAGES)
def test_every_field_has_a_row(message):
    fields = {field.json_name for field in ecs_pb2.DESCRIPTOR.message_types_by_name[message].fields}
    assert fields <= rows(message).keys()


def defined_in(*paths):
    return {
        name for path in paths for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }


def named():
    return set(re.findall(r"`(test_\w+)`", PAGE))


def test_every_test_that_is_named_exists():
    files = [ROOT / path for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE)]
    assert named() <= defined_in(*ROOT.glob(SHOWN_BY), *files)


def test_every_test_of_these_files_is_named():
    assert defined_in(*ROOT.glob(SHOWN_BY)) <= named()


@pytest.mark.parametrize(
    ("title", "table"),
    [("refused", rules.REFUSED), ("taken, with a warning", rules.WARNED), ("taken ", rules.ACCEPTED)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_page_lists_the_rules_that_are_tested(title, table):
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| {title}")]
    assert re.findall(r'"([^"]+)"', line) == list(table)
