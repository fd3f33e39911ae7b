"""Which mesh goes on with the next `up`, and in what state its registry is then."""

from pathlib import Path

import pytest

from tests.unit.controllers.world import node, service, task
from tsunagu.cli.local import resume
from tsunagu.cli.local.home_lock import locked
from tsunagu.model import ids
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.sqlite import SqliteStore
from tsunagu.settings import Home
from tsunagu.v1 import objects_pb2

ASKED = resume.request([Path("mesh.yaml")], ["8080=web:80"], None, ())


def killed(home, asked=ASKED):
    """What an `up` leaves that was killed after it had applied its manifests."""
    home.root.mkdir(exist_ok=True)
    home.database.write_text("objects")
    resume.note(home, asked, "digest")


def test_the_mesh_of_an_up_that_was_killed_goes_on(tmp_path):
    home = Home(tmp_path)
    killed(home)
    with locked(home, ASKED) as resumed:
        assert resumed
        assert home.database.read_text() == "objects"
        assert resume.is_applied(home, "digest")
        assert not resume.is_applied(home, "another digest")
    assert not home.database.exists()  # this one ended in order
    assert not home.applied.exists()


@pytest.mark.parametrize(
    "asked",
    [
        "",
        resume.request([Path("other.yaml")], ["8080=web:80"], None, ()),
        resume.request([Path("mesh.yaml")], [], None, ()),
        resume.request([Path("mesh.yaml")], ["8080=web:80"], Path("secrets.env"), ()),
        resume.request([Path("mesh.yaml")], ["8080=web:80"], None, ("web",)),
        resume.request([Path("mesh.yaml")], ["8080=web:80"], None, (), "mesh.example"),
    ],
    ids=["nothing", "other manifests", "other ports", "other secrets", "other names", "another trust domain"],
)
def test_one_that_is_asked_for_something_else_begins_anew(tmp_path, asked):
    home = Home(tmp_path)
    killed(home)
    with locked(home, asked) as resumed:
        assert not resumed
        assert not home.database.exists()
        assert not resume.is_applied(home, "digest")


@pytest.mark.parametrize("noted", ["", "{", "[]", None], ids=["empty", "cut off", "no object", "none"])
def test_a_registry_without_a_note_begins_anew(tmp_path, noted):
    home = Home(tmp_path)
    home.database.write_text("objects")
    if noted is not None:
        home.applied.write_text(noted)
    with locked(home, ASKED) as resumed:
        assert not resumed
        assert not home.database.exists()


def test_the_content_is_that_of_all_files(tmp_path):
    one, folder, secrets = tmp_path / "a.yaml", tmp_path / "more", tmp_path / "s.env"
    folder.mkdir()
    for path, text in ((one, "a"), (folder / "b.yaml", "b"), (secrets, "S=1")):
        path.write_text(text)
    seen = {resume.content([one, folder], secrets)}
    for path, text in ((one, "a2"), (folder / "b.yaml", "b2"), (secrets, "S=2"), (folder / "c.yaml", "")):
        path.write_text(text)
        seen.add(resume.content([one, folder], secrets))
    assert len(seen) == 5
    assert resume.content([one, folder], secrets) in seen


def test_what_is_read_from_a_pipe_is_never_the_same(tmp_path):
    assert resume.content([Path("-")], None) == ""
    home = Home(tmp_path)
    killed(home)
    resume.note(home, ASKED, "")
    assert not resume.is_applied(home, "")


async def test_what_ran_is_lost_and_its_nodes_are_gone(tmp_path):
    home = Home(tmp_path)
    store = await SqliteStore.open(home.database)
    registry = Registry(store)
    lease = ids.make("NodeLease", "one", objects_pb2.NodeLease(pid=1))
    for obj in (service(2), node("one"), lease, task(0), task(1, "PENDING"), task(2, "STOPPED", reason="before")):
        obj.meta.revision = 0
        await registry.put(obj)
    await store.close()
    await resume.recover(home)
    store = await SqliteStore.open(home.database)
    registry = Registry(store)
    tasks = [one.task for one in (await registry.list("Task"))[0]]
    assert [one.status.last_status for one in tasks] == ["STOPPED"] * 3
    assert [one.status.stopped_reason for one in tasks] == ["its mesh was killed", "its mesh was killed", ""]
    assert {one.spec.stop_code for one in tasks[:2]} == {"TerminationNotice"}  # not their own fault
    assert [(await registry.list(kind))[0] for kind in ("Node", "NodeLease")] == [[], []]
    assert len((await registry.list("Service"))[0]) == 1
    await store.close()
