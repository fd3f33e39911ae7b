"""What is left of the embedded store when its process is killed, and of files that were copied while it wrote."""

import asyncio
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tsunagu.registry.store import Delete, Put
from tsunagu.registry.stores.sqlite import SqliteStore

WRITER = Path(__file__).with_name("writer.py")
ROUNDS = 6


def write_until_killed(path, durability, acknowledgements):
    """Runs a writer and SIGKILLs it after so many lines; returns every line that it got out."""
    command = [sys.executable, str(WRITER), str(path), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            lines = [writer.stdout.readline() for _ in range(acknowledgements)]
        finally:
            writer.kill()
        lines += writer.stdout.readlines()
    assert writer.returncode == -9
    return [line.split() for line in lines if line.endswith("\n")]


async def history(store):
    """Commits that the store still tells, by revision."""
    watch, told = store.watch(after=store.compacted), {}
    while watch.position < store.revision:
        commit = await anext(watch)
        told[commit.revision] = commit
    return told


@pytest.mark.parametrize("durability", ["full", "normal"])
async def test_a_killed_process_loses_no_acknowledged_commit(tmp_path, durability):
    chance = random.Random(durability)
    path = tmp_path / "registry.db"
    for _ in range(ROUNDS):
        acknowledged = write_until_killed(path, durability, chance.randrange(1, 1200))
        store = await SqliteStore.open(path, durability, history=500)
        told = await history(store)
        newest = max(int(revision) for revision, _, _ in acknowledged)
        assert store.revision >= newest
        for revision, key, value in acknowledged:
            if int(revision) > store.compacted:
                changes = told[int(revision)].changes
                assert [(change.key, change.entry.value.decode()) for change in changes] == [
                    (key, value),
                    (key + "/pair", value),
                ]
        await every_pair_is_whole(store)
        await store.close()


async def every_pair_is_whole(store):
    """The writer puts and deletes keys in pairs: half a batch would show."""
    state = {entry.key: entry.value for entry in (await store.list()).entries}
    for key, value in state.items():
        other = key.removesuffix("/pair") if key.endswith("/pair") else key + "/pair"
        assert state[other] == value


class Replay:
    """The state at each revision, from a watch of the store that is copied."""

    def __init__(self):
        self.commits = {}

    async def follow(self, store):
        async for commit in store.watch():
            self.commits[commit.revision] = commit

    def state(self, revision):
        state = {}
        for number in range(1, revision + 1):
            for change in self.commits[number].changes:
                state[change.key] = change.entry
        return {key: entry for key, entry in state.items() if entry}


async def write(store, writer, chance):
    while True:
        put = Put(f"{writer}/{chance.randrange(30)}", chance.randbytes(chance.randrange(3000)))
        delete = Delete(f"{writer}/{chance.randrange(30)}!")
        await store.commit([put, delete, Put(f"{writer}/{chance.randrange(30)}?", b"")])


def copy(path, folder, chance):
    folder.mkdir()
    names = [path.name, path.name + "-wal", path.name + "-shm"]
    chance.shuffle(names)
    for name in names:
        shutil.copy(path.with_name(name), folder / name)


async def test_files_copied_during_writes_open_as_a_moment_of_the_copying(tmp_path):
    chance, replay, copies = random.Random(1), Replay(), []
    path = tmp_path / "registry.db"
    store = await SqliteStore.open(path, history=200)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(replay.follow(store))]
        tasks += [group.create_task(write(store, str(writer), chance)) for writer in range(4)]
        for number in range(25):
            pause = store.watch(after=store.revision)
            for _ in range(chance.randrange(1, 40)):
                await anext(pause)
            before = store.revision
            await asyncio.to_thread(copy, path, tmp_path / f"copy{number}", chance)
            copies.append((tmp_path / f"copy{number}" / path.name, before, store.revision + 4))  # 4 may be in flight
        newest = max(after for _, _, after in copies)
        await replay_until(store, replay, newest)
        for task in tasks:
            task.cancel()
    await store.close()
    for file, before, after in copies:
        copied = await SqliteStore.open(file)
        assert before <= copied.revision <= after
        entries = {entry.key: entry for entry in (await copied.list()).entries}
        assert entries == replay.state(copied.revision)
        await copied.close()


async def replay_until(store, replay, revision):
    watch = store.watch(after=store.revision)
    async with asyncio.timeout(60):
        while revision not in replay.commits:
            await anext(watch)
