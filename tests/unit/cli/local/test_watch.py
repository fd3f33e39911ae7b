"""What `up --watch` takes for a change."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tsunagu.cli.errors import CliError
from tsunagu.cli.local.watch import Change, Watched, compared, files_of, manifest_files, services_in, stamps, watch
from tsunagu.testing import objects as o


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "apps" / "__pycache__").mkdir(parents=True)
    for name in ("shop.yaml", "apps/web.py", "apps/web.yaml", "apps/__pycache__/web.pyc", "apps/.swp"):
        (tmp_path / name).touch()
    return tmp_path


def snapshot(*files, at=1):
    return {Path(file): (at, 0) for file in files}


def test_the_files_that_are_looked_at(project):
    assert list(manifest_files([project])) == [project / "shop.yaml"]
    assert {file.name for file in files_of([project / "apps"])} == {"web.py", "web.yaml", ".swp"}


def test_a_manifest_and_a_file_of_an_image_are_told_apart(project):
    apps = project / "apps"
    before = snapshot(project / "shop.yaml", apps / "web.py", apps / "orders.py")
    after = {**before, **snapshot(project / "shop.yaml", apps / "web.py", at=2)}
    assert compared(before, before, [project], [apps]) == Change()
    assert compared(before, after, [project], [apps]) == Change((project / "shop.yaml",), ((apps, apps / "web.py"),))


def test_a_folder_that_has_just_been_named_is_no_change(project):
    before = snapshot(project / "shop.yaml")
    after = {**before, **snapshot(project / "apps" / "web.py")}
    assert not compared(before, after, [project], [project / "apps"])


def test_a_file_that_was_taken_away_is_a_change(project):
    apps = project / "apps"
    before = snapshot(apps / "web.py", apps / "orders.py")
    gone = {file: stamp for file, stamp in before.items() if file.name != "orders.py"}
    assert compared(before, gone, [project], [apps]).folders == ((apps, apps / "orders.py"),)


def test_the_services_that_run_from_a_folder():
    revision = o.revision("default/web/a1")
    revision.service_revision.task_definition.container_definitions.add(name="app", working_directory=os.sep + "apps")
    services = [o.service("default/web", "a1"), o.service("default/orders", "b1")]
    assert services_in(Path("/apps"), services, {revision.meta.name: revision}) == ["default/web"]


async def test_what_changes_while_the_mesh_comes_up_is_seen(project):
    """After the manifests were read, and before anybody looks."""

    async def images(_):
        return [], 0

    def read():
        raise CliError("it was read again")

    before = stamps([project])
    (project / "shop.yaml").write_text("kind: Nonsense")
    told = asyncio.Queue()
    watching = asyncio.create_task(
        watch(SimpleNamespace(registry=SimpleNamespace(list=images)), Watched([project], read, before), told.put_nowait)
    )
    async with asyncio.timeout(60):
        said = [await told.get() for _ in range(3)]
    watching.cancel()
    assert said == [
        "watching the manifests and the folders of Images",
        "shop.yaml changed",
        "not applied:\nit was read again",
    ]
