"""What a mesh of the test kit writes down, and takes away again."""

import pytest

from tsunagu.client.manifest_files import read_secrets
from tsunagu.model.errors import ManifestError
from tsunagu.testing import Mesh, MeshError
from tsunagu.testing.running import env_file


@pytest.fixture
def idle(monkeypatch):
    """`tsunagu up` ends at once, with code 3."""
    monkeypatch.setattr("tsunagu.testing.running._COMMAND", ("-c", "raise SystemExit(3)"))


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


def test_the_values_of_secrets_come_through_as_they_are(tmp_path):
    secrets = {
        "quoted": '"t0p"',
        "half": "'",
        "spaced": "  t0p ",
        "empty": "",
        "arn:aws:ssm:eu-west-1:1:parameter/x": "a=b#c \\n $HOME",
        "umlaut": "kä'se\"",
    }
    (tmp_path / "secrets.env").write_text(env_file(secrets), encoding="utf-8")
    assert read_secrets(tmp_path / "secrets.env") == secrets


@pytest.mark.parametrize("value", ["-----BEGIN\nKEY", "a\rb", "a\u2028b", "a\n"])
def test_a_value_that_would_not_come_through_is_refused_by_name(value):
    with pytest.raises(ValueError, match="the secret 'the-key' cannot be given") as caught:
        env_file({"fine": "x", "the-key": value})
    assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["a=b", " a", "#a", ""])
def test_so_is_a_name(name):
    with pytest.raises(ValueError, match="cannot be given"):
        env_file({name: "x"})
