"""Why a control plane cannot run in a home, in words, and how they reach whoever asks the mesh something."""

import fcntl
import re

import grpc.aio
import pytest

from tsunagu.cli import errors
from tsunagu.cli.errors import CliError
from tsunagu.cli.local import control_plane
from tsunagu.cli.local.home_lock import make
from tsunagu.client import connection
from tsunagu.model import ids
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.sqlite import SqliteStore
from tsunagu.settings import Home
from tsunagu.v1 import identities_pb2


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "m")
    make(made)
    return made


async def test_a_home_that_cannot_be_written_is_named(home, monkeypatch):
    def refused(descriptor, operation):
        raise PermissionError(13, "Permission denied", str(home.database) + ".lock")

    monkeypatch.setattr(fcntl, "flock", refused)  # by mode alone, nothing is refused to root
    with pytest.raises(CliError, match=r"cannot run in .*/m: .*registry.db.lock: Permission denied"):
        await control_plane.run(home)


async def test_another_trust_domain_than_the_mesh_has_is_an_error_before_anything_answers(home, monkeypatch):
    store = await SqliteStore.open(home.database)
    bundle = identities_pb2.TrustBundle(trust_domain="tsunagu.local")
    await Registry(store).put(ids.make("TrustBundle", "default", bundle))
    await store.close()
    monkeypatch.setenv("TSUNAGU_TRUST_DOMAIN", "mesh.example")
    with pytest.raises(
        CliError, match=r"of this mesh is tsunagu.local, and .* says mesh.example; .*: leave it out"
    ) as told:
        await control_plane.run(home)
    assert told.value.code == errors.USAGE
    assert not home.api_socket.exists()


def told(home):
    """What is told whose call was not answered."""
    home.api_socket.touch()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="gone")
    return str(connection.from_status(error, home))


def test_who_asks_a_mesh_that_does_not_answer_is_told_what_its_control_plane_said_last(home):
    home.log("serve").with_suffix(".err").write_text("first\nerror: the control plane cannot run: disk full\n\n")
    message = r"does not answer; its control plane said \d+ s ago: error: the control plane cannot run: disk full$"
    assert re.search(message, told(home))


def test_one_that_said_nothing_is_only_said_not_to_answer(home):
    assert told(home) == f"the mesh in {home.root} does not answer"
