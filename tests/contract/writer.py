"""A process that writes to a store as fast as it can, from many tasks, and prints each acknowledged commit.

Each line is `REVISION KEY VALUE`. It is killed by its parent (test_sqlite_crash).
"""

import asyncio
import os
import sys
from pathlib import Path

from tsunagu.registry.store import Delete, Put
from tsunagu.registry.stores.sqlite import SqliteStore


async def write(store: SqliteStore, writer: int) -> None:
    for number in range(1_000_000):
        key, value = f"w/{writer}/{number % 7}", f"{os.getpid()}-{writer}-{number}"
        pair = [Put(key, value.encode()), Put(key + "/pair", value.encode())]
        revision = await store.commit(pair)
        os.write(1, f"{revision} {key} {value}\n".encode())
        if number % 5 == 0:
            await store.commit([Delete(key), Delete(key + "/pair")])


async def main(path: Path, durability: str) -> None:
    store = await SqliteStore.open(path, durability, history=500)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        for writer in range(8):
            group.create_task(write(store, writer), name=f"writer {writer}")


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
