"""docs/cli.md tells of every command, option and exit code, and of nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tsunagu.cli.command_table import ROOT, load
from tsunagu.cli.errors import CODES

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
SHARED = {"--home", "--name", "--help", "-h", "--output", "-o"}


def commands() -> Iterator[tuple[str, object]]:
    for name, entry in ROOT.items():
        command = load(name, entry)
        children = getattr(command, "commands", None)
        if children:
            yield from ((f"{name} {child}", found) for child, found in children.items())
        else:
            yield name, command


def section(name: str) -> str:
    found = [title + text for title, text in SECTIONS.items() if re.search(rf"(^|, ){re.escape(name)}( |,|$)", title)]
    assert found, f"docs/cli.md has no section on {name}"
    return found[0]


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_page_tells_of_each_command_and_its_options(name, command):
    text = section(name)
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("-")} - SHARED
    assert [option for option in sorted(options) if f"`{option}`" not in text] == []


def test_the_page_names_no_option_that_is_not_there():
    known = {option for _, command in commands() for parameter in command.params for option in parameter.opts}
    assert [option for option in re.findall(r"^\| `(--?[\w-]+)`", PAGE, re.MULTILINE) if option not in known] == []


def test_the_page_has_the_table_of_exit_codes():
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE))
    assert rows == {str(code): meaning for code, meaning in CODES.items()}


def test_every_command_has_its_line_in_the_help():
    for name, entry in ROOT.items():
        assert entry.help.endswith("."), name
