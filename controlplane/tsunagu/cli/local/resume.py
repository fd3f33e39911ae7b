"""The next `up` of a home goes on where one was that has been killed: with its registry, if it is asked for the same mesh.

An `up` that ends, in order or by an error, takes its registry along: a mesh is its manifests. One that was killed leaves it, with
deployments in their stages. The one rule: the next `up` takes it over only when its command line names the same manifests, ports,
names and trust domain; else it begins anew. Manifests that have not changed since are not applied again, so that what was deployed or scaled
meanwhile stays; changed ones are applied as `tsunagu apply` does.

Nothing of the killed mesh runs any more: its tasks are recorded as lost, and its nodes removed, before a control plane looks.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tsunagu.settings import Home


def request(
    paths: Iterable[Path], publish: Iterable[str], env_file: Path | None, names: object, trust_domain: str = ""
) -> str:
    """What a command line asks for, without what is in the files."""
    files = [str(path.absolute()) for path in paths]
    domain = [trust_domain] if trust_domain else []
    return json.dumps([files, list(publish), str(env_file.absolute()) if env_file else "", repr(names), *domain])


def content(paths: Sequence[Path], env_file: Path | None) -> str:
    """A digest of what is in the files; empty when that cannot be read twice, as from a pipe."""
    digest = hashlib.sha256()
    for path in (*paths, *([env_file] if env_file else [])):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if not file.is_file():
                if file is path:
                    return ""
                continue
            inside = file.read_bytes()
            digest.update(f"{file}\0{len(inside)}\0".encode())
            digest.update(inside)
    return digest.hexdigest()


def note(home: Home, asked: str, inside: str) -> None:
    """Remember what this mesh was asked for, and that it is applied."""
    written = home.applied.with_name(f"{home.applied.name}.new")
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"request": asked, "content": inside}, file)
    written.replace(home.applied)


def is_left(home: Home, asked: str) -> bool:
    """Whether a killed `up` has left the registry of a mesh for which this one is asked, too."""
    return bool(asked) and home.database.exists() and _noted(home).get("request") == asked


def is_applied(home: Home, inside: str) -> bool:
    """Whether the mesh that goes on has these manifests."""
    return bool(inside) and _noted(home).get("content") == inside


def _noted(home: Home) -> dict[str, Any]:
    try:
        found = json.loads(home.applied.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


async def recover(home: Home) -> None:
    """Record that nothing of the killed mesh runs. Raises StoreError when its registry cannot be used."""
    from tsunagu.controllers.actions import mark_lost  # noqa: PLC0415 - seldom needed
    from tsunagu.controllers.task_state import is_stopped  # noqa: PLC0415
    from tsunagu.registry.objects import DeleteObject, PutObject, Registry  # noqa: PLC0415
    from tsunagu.registry.stores.sqlite import SqliteStore  # noqa: PLC0415

    store = await SqliteStore.open(home.database)
    try:
        registry, now = Registry(store), time.time()
        tasks = [task for task in (await registry.list("Task"))[0] if not is_stopped(task)]
        operations: list[PutObject | DeleteObject] = [
            PutObject(mark_lost(task, "its mesh was killed", now).obj, task.meta.revision) for task in tasks
        ]
        for kind in ("Node", "NodeLease"):
            operations += [DeleteObject(kind, obj.meta.name) for obj in (await registry.list(kind))[0]]
        if operations:
            await registry.batch(operations)
    finally:
        await store.close()
