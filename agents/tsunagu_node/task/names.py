"""The DNS names of namespaces, and a task's /etc/hosts following them.

Rule: a name is added once the task's proxy has a listener for it, and stays until its virtual address is released:
while a proxy is restarted its names stay, since it will have the same listeners again.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.log import get
from tsunagu.v1 import objects_pb2
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_sidecar.admin import Admin, AdminError

_RETRY: Final = Backoff(base=0.02, cap=1.0)
log = get("node.names")


class Names:
    """Namespace -> DNS name -> IP, as the registry has them."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, str]] = {}
        self._version = 0
        self._changed = asyncio.Condition()

    def of(self, namespace: str) -> Mapping[str, str]:
        return self._by_namespace.get(namespace, {})

    @property
    def version(self) -> int:
        """Counts what was learned; 0: nothing yet."""
        return self._version

    async def learn(self, addresses: Mapping[str, objects_pb2.Object]) -> None:
        """Takes in all VirtualAddress objects."""
        found: dict[str, dict[str, str]] = {}
        for obj in addresses.values():
            address = obj.virtual_address
            if not address.HasField("released_at"):
                found.setdefault(address.namespace, {})[address.dns_name] = address.ip
        async with self._changed:
            self._by_namespace = found
            self._version += 1
            self._changed.notify_all()

    async def newer(self, version: int) -> None:
        """Waits until something was learned after `version`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._version > version)


class TaskNames:
    """Keeps the hosts file of `task` in step with `names` of its namespace; `complete` is set while nothing is missing."""

    def __init__(self, task: RunningTask, namespace: str, names: Names, admin: Admin) -> None:
        self._task = task
        self._namespace = namespace
        self._names = names
        self._admin = admin
        self._shown: dict[str, str] = {}
        self._refused = False
        self.complete = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            version = self._names.version
            wanted = self._names.of(self._namespace)
            live = await self._live(wanted)
            # While the names or the listeners are not known, what the file says stays: this may be the second agent of
            # a task that is calling them.
            if known := version > 0 and live is not None:
                shown = {name: ip for name, ip in wanted.items() if name in (live or ()) or self._shown.get(name) == ip}
                if shown != self._shown or not self.complete.is_set():
                    known = await self._show(shown)
            failures = 0 if known and len(self._shown) == len(wanted) else failures + 1
            if not failures:
                self.complete.set()
            await self._next(version, failures)

    async def _live(self, wanted: Mapping[str, str]) -> frozenset[str] | None:
        """Names that have a listener; empty when nothing new is wanted, None when Envoy does not answer."""
        if all(self._shown.get(name) == ip for name, ip in wanted.items()):
            return frozenset()
        try:
            return aliases(self._namespace, await self._admin.listeners())
        except AdminError:
            return None

    async def _show(self, names: dict[str, str]) -> bool:
        try:
            await self._task.set_hosts(names)
        except OSError as error:
            if not self._refused:
                log.warning("names cannot be shown", task=self._task.id, reason=str(error))
            self._refused = True
            return False
        self._shown, self._refused = names, False
        return True

    async def _next(self, version: int, failures: int) -> None:
        try:
            async with asyncio.timeout(_RETRY.delay(failures) if failures else None):
                await self._names.newer(version)
        except TimeoutError:
            return


def aliases(namespace: str, listeners: Iterable[str]) -> frozenset[str]:
    """DNS names that have a listener: those are called `alias/NAMESPACE/DNSNAME:PORT`."""
    prefix = f"alias/{namespace}/"
    return frozenset(name[len(prefix) :].rpartition(":")[0] for name in listeners if name.startswith(prefix))
