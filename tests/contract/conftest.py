"""Every store passes the same suite: the fixture `opened` opens one of each kind. `mesh` has a runtime without namespaces."""

import itertools
import tempfile
from pathlib import Path

import pytest

from tests.contract.fake_mesh import opened_mesh
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.registry.stores.sqlite import SqliteStore


class Seconds:
    """A clock that tests move."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture(params=["memory", "sqlite"])
async def opened(request, tmp_path):
    """Opens a new empty store; takes `history` and `clock`. All are closed at the end."""
    stores, numbers = [], itertools.count()

    async def open_one(**options):
        if request.param == "memory":
            store = MemoryStore(**options)
        else:
            store = await SqliteStore.open(tmp_path / f"{next(numbers)}.db", **options)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def mesh():
    with tempfile.TemporaryDirectory(prefix="tsunagu-") as folder:
        async with opened_mesh(Path(folder)) as made:
            yield made
