"""Every broken manifest is refused with exactly the errors beside it. ``TSUNAGU_REWRITE=1`` writes them anew."""

import os
from pathlib import Path

import pytest

from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests.formats import Source, read
from tsunagu.model.plan import plan

FOLDER = Path(__file__).parent / "broken"
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix != ".txt")


def errors(path: Path) -> str:
    try:
        documents = read([Source(path.name, path.read_text())])
    except ManifestError as error:
        return str(error)
    found = plan(documents, {}, secrets={"known": "x"}, folders={path.name: "/mesh"})
    assert found.changes == ()
    return "\n".join(map(str, found.issues))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_manifest_is_refused_with_its_errors(path: Path):
    expected = path.with_suffix(".txt")
    if os.environ.get("TSUNAGU_REWRITE"):
        expected.write_text(errors(path) + "\n")
    assert errors(path) + "\n" == expected.read_text()
    assert expected.read_text().strip()
