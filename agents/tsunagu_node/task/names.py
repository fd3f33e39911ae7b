"""Keeps a task's /etc/hosts in step with the DNS names of its namespace.

Rule: a name is added once the task's proxy has a listener for it, and removed when its virtual address is released. While
a proxy restarts its names stay, since it will have the same listeners again. Names of which a task's proxy never has a listener
are not waited for (`Seen`).
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.log import get
from tsunagu.v1 import objects_pb2
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.task.spec import TaskSpec
from tsunagu_sidecar.admin import Admin, AdminError

_RETRY: Final = Backoff(base=0.02, cap=1.0)
log = get("node.names")


@dataclass(frozen=True, slots=True)
class Seen:
    """Which names of its namespace a task sees. `until`: those that were born up to that registry revision; None: all.

    `backends`: those that lead to one of these discovery names; none given: all.
    """

    until: int | None = None
    backends: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Name:
    """`born`: the registry revision since which it is used; of several ports, the first. `leads`: to these discovery names."""

    ip: str
    born: int
    leads: frozenset[str]

    def seen(self, by: Seen) -> bool:
        """Whether it is among these. An address of a registry that did not keep where it leads is."""
        young = by.until is not None and self.born > by.until
        return not young and not (by.backends and self.leads and by.backends.isdisjoint(self.leads))


class Names:
    """The names of all namespaces, as the registry last had them."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, _Name]] = {}
        self._version = 0
        self._changed = asyncio.Condition()

    def of(self, namespace: str, by: Seen) -> Mapping[str, str]:
        """Return DNS name -> IP of the names that are seen."""
        names = self._by_namespace.get(namespace, {}).items()
        return {dns_name: name.ip for dns_name, name in names if name.seen(by)}

    @property
    def version(self) -> int:
        """How many times `learn` was called; 0: the names are not known yet."""
        return self._version

    async def learn(self, addresses: Mapping[str, objects_pb2.Object]) -> None:
        """Take over all VirtualAddress objects."""
        found: dict[str, dict[str, _Name]] = {}
        for obj in addresses.values():
            address = obj.virtual_address
            if not address.HasField("released_at"):
                found.setdefault(address.namespace, {})[address.dns_name] = _Name(
                    address.ip, min(address.births.values(), default=0), frozenset(address.discovery_names)
                )
        async with self._changed:
            self._by_namespace = found
            self._version += 1
            self._changed.notify_all()

    async def newer(self, version: int) -> None:
        """Wait until `self.version` is greater than `version`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._version > version)


class TaskNames:
    """The hosts file of `task`, which `spec` describes. `complete` is set once it held every name that the task is to see."""

    def __init__(self, task: RunningTask, spec: TaskSpec, names: Names, admin: Admin) -> None:
        self._task = task
        self._namespace = spec.namespace
        self._seen = seen_by(spec)
        self._names = names
        self._admin = admin
        self._shown: dict[str, str] = {}
        self._refused = False
        self.complete = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        failures = 0
        while True:
            version = self._names.version
            wanted = self._names.of(self._namespace, self._seen)
            live = await self._live(wanted)
            # As long as the names or the listeners are not known the file stays as it is: this may be an adopted task that
            # is calling them.
            if known := version > 0 and live is not None:
                shown = {name: ip for name, ip in wanted.items() if name in (live or ()) or self._shown.get(name) == ip}
                if shown != self._shown or not self.complete.is_set():
                    known = await self._show(shown)
            failures = 0 if known and len(self._shown) == len(wanted) else failures + 1
            if not failures:
                self.complete.set()
            await self._next(version, failures)

    async def _live(self, wanted: Mapping[str, str]) -> frozenset[str] | None:
        """Return the names that have a listener: empty when no name is new, None when Envoy does not answer."""
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


def seen_by(spec: TaskSpec) -> Seen:
    """Return which names a task sees."""
    return Seen(spec.names_until, frozenset(spec.revision.backends))


def aliases(namespace: str, listeners: Iterable[str]) -> frozenset[str]:
    """Return the DNS names that have a listener; such a listener is called `alias/NAMESPACE/DNSNAME:PORT`."""
    prefix = f"alias/{namespace}/"
    return frozenset(name[len(prefix) :].rpartition(":")[0] for name in listeners if name.startswith(prefix))
