"""When an image of a folder is built, and what is said when it cannot be; a program stands for Docker's command."""

import asyncio

import pytest

from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.images import builds

REFERENCE = "tsunagu-build/web:0123456789ab"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path / "web"


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Makes the command; what it was called with is appended to a file."""

    async def there(_engine, _reference):
        return True

    monkeypatch.setattr(builds.images, "exists", there)

    def make(script="true"):
        program = tmp_path / "docker"
        program.write_text(f'#!/bin/sh\necho "$DOCKER_HOST $*" >> {tmp_path}/calls\n{script}\n')
        program.chmod(0o755)
        return builds.Builds(None, "/engine.sock", {"DOCKER": str(program), "PATH": "/usr/bin:/bin"})

    make.calls = lambda: (tmp_path / "calls").read_text().splitlines()
    return make


async def test_a_folder_is_built_once_until_a_file_in_it_changes(docker, folder):
    made = docker()
    await made.ensure({REFERENCE: str(folder)})
    await made.ensure({REFERENCE: str(folder)})
    assert docker.calls() == [f"unix:///engine.sock build --tag {REFERENCE} {folder}"]
    (folder / "app.py").write_text("print()\n")
    await made.ensure({REFERENCE: str(folder)})
    assert len(docker.calls()) == 2


async def test_tasks_that_want_it_at_once_wait_for_one_build(docker, folder):
    made = docker("sleep 0.1")
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(made.ensure({REFERENCE: str(folder)}), name=f"task {number}")
    assert len(docker.calls()) == 1


async def test_a_build_that_fails_says_its_last_words_and_is_tried_again(docker, folder):
    made = docker("echo Step 1/2; echo 'COPY failed: no such file' >&2; exit 1")
    for _ in range(2):
        with pytest.raises(RuntimeFailed, match=rf"{folder} cannot be built: Step 1/2 \| COPY failed: no such file"):
            await made.ensure({REFERENCE: str(folder)})
    assert len(docker.calls()) == 2


async def test_a_missing_folder_and_a_missing_command_are_named(docker, folder):
    with pytest.raises(RuntimeFailed, match=r"there is no folder /nowhere to build tsunagu-build/web"):
        await docker().ensure({REFERENCE: "/nowhere"})
    made = builds.Builds(None, "/engine.sock", {"DOCKER": "/no/docker"})
    with pytest.raises(
        RuntimeFailed, match=r"/no/docker cannot be started: .*; build it by hand, and name it with `image`"
    ):
        await made.ensure({REFERENCE: str(folder)})
