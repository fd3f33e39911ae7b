"""What people really give us: for each file its verdict, as `tsunagu validate` tells it. ``TSUNAGU_REWRITE=1`` writes them anew.

The files are small inputs of the kinds that public repositories hold: AWS's own in all their shapes, and those of other tools.
"""

import os
from pathlib import Path

import pytest

from tsunagu.model.manifests.formats import Source, read_all
from tsunagu.model.plan import plan

FOLDER = Path(__file__).parent / "verdicts"
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix != ".txt")


def verdict(path: Path) -> str:
    reading = read_all([Source(path.name, path.read_text())])
    made = plan(reading.documents, {}, folders={path.name: "/mesh"}, faults=reading.issues)
    if made.issues:
        return "".join(f"error: {one}\n" for one in made.issues)
    notes = [f"note: {one}" for one in (*reading.notes, *made.notes)]
    changes = [f"would {one}" for one in made.changes]
    return "".join(f"{line}\n" for line in (*(f"warning: {one}" for one in made.warnings), *notes, *changes))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_has_its_verdict(path: Path):
    expected = path.with_name(f"{path.name}.txt")
    if os.environ.get("TSUNAGU_REWRITE"):
        expected.write_text(verdict(path))
    assert verdict(path) == expected.read_text()


def test_what_is_named_in_a_folder_and_is_none_of_ours_is_passed_over_with_a_note():
    ours = Source(
        "web.yaml", "{family: web, containerDefinitions: [{name: web, image: web, command: [sleep]}]}", chosen=False
    )
    others = [
        Source("package.json", '{"name": "x", "scripts": {}}', chosen=False),
        Source("compose.yaml", "services: {web: {image: nginx}}", chosen=False),
        Source("chart.yaml", "{{- if .Values.x }}\na: b\n{{ end }}", chosen=False),
        Source("drone.yml", "kind: pipeline\ntype: docker\n", chosen=False),
        Source("tsconfig.json", '{\n// comments\n"compilerOptions": {}}', chosen=False),
        Source("list.json", "[1, 2]", chosen=False),
        Source("containers.json", (FOLDER / "arr.json").read_text(), chosen=False),
        Source("connect.json", (FOLDER / "scc.json").read_text(), chosen=False),
        Source("arns.json", (FOLDER / "list.json").read_text(), chosen=False),
    ]
    found = read_all([ours, *others])
    assert ([one.name for one in found.documents], found.issues) == (["web"], ())
    assert [one.file for one in found.notes] == [one.name for one in others]
    assert all("passed over" in one.message for one in found.notes)


@pytest.mark.parametrize(
    "text", ["kind: Servcie\nserviceName: a\n", "serviceName: {{ name }}\n", '{"serviceName": "a",}']
)
def test_what_was_to_be_ours_is_an_issue_in_a_folder_too(text: str):
    assert read_all([Source("a.json" if text[0] == "{" else "a.yaml", text, chosen=False)]).issues
