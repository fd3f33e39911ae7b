"""What a mesh of the test kit writes down, and takes away again."""

import pytest

from controlplane.model.errors import ManifestError
from controlplane.testing import Mesh, MeshError


@pytest.fixture
def idle(monkeypatch):
    """`tsunagu up` ends at once, with code 3."""
    monkeypatch.setattr("controlplane.testing.running._COMMAND", ("-c", "raise SystemExit(3)"))


def test_a_start_that_fails_leaves_no_folder(idle):
    mesh = Mesh(secrets={"the-word": "t0p"})
    with pytest.raises(MeshError, match="tsunagu up ended with 3"):
        mesh.start()
    assert not mesh.folder.exists()


def test_a_manifest_that_cannot_be_read_leaves_no_folder(tmp_path):
    mesh = Mesh(tmp_path / "nosuch.yaml")
    with pytest.raises(ManifestError), mesh:
        pass
    assert not mesh.folder.exists()
