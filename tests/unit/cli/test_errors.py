"""Each error that a user can act on ends a command with the exit code of its class."""

import pytest

from tsunagu.cli.errors import EXIT_CODES, CliError, Terminated, code_of
from tsunagu.client import errors as client
from tsunagu.model.errors import ManifestError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (client.NoMesh("no mesh is running in /home"), 6),
        (client.UnknownName("there is no service 'web'"), 4),
        (client.InvalidRequest("'web' can mean 2 services"), 2),
        (client.Conflicting("somebody was faster"), 5),
        (client.NotConverged("not steady after 1 s"), 7),
        (client.RequestFailed("the node is gone"), 1),
        (ManifestError([]), 3),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (PermissionError(13, "Permission denied"), 1),
        (CliError("--publish '1' is not understood", 2), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_the_exit_code_follows_from_the_class(error, code):
    assert code_of(error) == code


def test_every_class_of_the_client_has_its_row():
    classes = {
        each for each in vars(client).values() if isinstance(each, type) and issubclass(each, client.ClientError)
    }
    assert classes <= {kind for kind, _ in EXIT_CODES} | {client.RequestFailed}


def test_the_version_is_an_option_too(tsunagu):
    shown = tsunagu("--version")
    assert shown.exit_code == 0
    assert shown.stdout == tsunagu("version").stdout
