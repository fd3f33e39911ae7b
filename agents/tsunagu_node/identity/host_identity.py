"""The identity with which programs of this machine call into a namespace, one of each node and namespace.

Rule: its key is made here, is in one file of the node's folder (mode 0600), and in the memory of the node agent. It is there as
long as somebody needs it, and outlives the node agent.
"""

import asyncio
import hashlib
import json
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format

from tsunagu.kit import tokens
from tsunagu.kit.log import get
from tsunagu.v1 import identities_pb2, objects_pb2
from tsunagu_node.identity.renewal import Holder, Issue, Renewal
from tsunagu_node.identity.schedule import is_good
from tsunagu_node.identity.trust import Trust
from tsunagu_node.runtime import config_file

_PEM, _TOLD = ".pem", ".json"
_LONGEST: Final = 200  # characters of a file's name; of a namespace's there may be more
log = get("node.identity")


class HostIdentity:
    """The identity of one node's machine in one namespace. `changed` is called when `ready` or what is told may have changed.

    Invariant: `_usable` is the certificate in the files, the last that was held. Like a task's it stays of use, until its end, after
    the namespace has ceased to speak TLS: tasks take nothing else for a moment.
    """

    def __init__(self, holder: Holder, folder: Path, trust: Trust, issue: Issue, changed: Callable[[], None]) -> None:
        self._namespace = holder.namespace
        self._trust = trust
        self._files = _Files(folder, holder.namespace)
        self._told = changed
        self._happened = asyncio.Event()
        self._renewal = Renewal(holder, trust, issue, self._changed)
        self._usable: identities_pb2.Identity | None = None
        self._context: tuple[tuple[str, str], ssl.SSLContext] | None = None  # what it was made of, and itself

    @property
    def ready(self) -> bool:
        """Whether there is a certificate that others accept now."""
        return is_good(self._usable, time.time())

    async def until_ready(self) -> None:
        """Return when there is a certificate that others accept."""
        while not self.ready:
            self._happened.clear()
            await self._happened.wait()

    async def run(self) -> None:
        """Keep the certificate good until cancelled."""
        await self._renewal.run(self._files)

    def context(self) -> ssl.SSLContext:
        """Return what a TLS client needs while it is `ready`: 1.3 alone, the certificate, and whom proxies trust now. Raises OSError."""
        made_of = (self._usable.serial if self._usable is not None else "", self._trust.now.certificates)
        if self._context is None or self._context[0] != made_of:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # the server proves a SPIFFE ID, which whoever connects compares
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
            context.load_verify_locations(cadata=made_of[1])
            context.load_cert_chain(self._files.pem)
            self._context = made_of, context
        return self._context[1]

    def told(self) -> objects_pb2.HostIdentity | None:
        """Return what the Node says of it; None where the namespace speaks no TLS."""
        held, trouble = self._renewal.held, self._renewal.trouble
        if held is None and not trouble:
            return None
        told = objects_pb2.HostIdentity(namespace=self._namespace, identity=held)
        told.identity.problem = trouble
        return told

    def remove(self) -> None:
        """Take away its files."""
        self._files.remove()

    def _changed(self) -> None:
        if self._renewal.held is not None:
            self._usable = self._renewal.held
        self._happened.set()
        self._told()


class HostIdentities:
    """Those of a node, each as long as it is needed. `issue` asks the control plane once; `key` signs the node's token; `folder` has the
    files. `changed` is called when what is told has changed. `run` begins when every namespace of an adopted task is expected.
    """

    def __init__(self, trust: Trust, issue: Issue, key: bytes, folder: Path) -> None:
        self.trust = trust
        self.changed: Callable[[], None] = lambda: None
        self._issue = issue
        self._key = key
        self._folder = folder
        self._needed: dict[str, tuple[HostIdentity, int]] = {}  # by namespace, with how many need it
        self._expected: set[str] = set()  # namespaces in which adopted tasks will need one
        self._other = asyncio.Event()  # other ones are needed than run

    def expect(self, namespace: str) -> None:
        """Keep what an earlier node agent left for this namespace until it is needed."""
        self._expected.add(namespace)

    @contextmanager
    def needed(self, node: str, namespace: str) -> Iterator[HostIdentity]:
        """Have the node's identity in a namespace kept for the time of the block."""
        host, count = self._needed.get(namespace) or (self._made(node, namespace), 0)
        self._needed[namespace] = host, count + 1
        self._other.set()
        try:
            yield host
        finally:
            _, count = self._needed[namespace]
            self._needed[namespace] = host, count - 1
            self._other.set()

    async def run(self) -> None:
        """Keep those that are needed, until cancelled; their files stay then, for the next node agent."""
        running: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            self._sweep()
            while True:
                self._other.clear()
                for namespace, (host, count) in list(self._needed.items()):
                    if count and namespace not in running:
                        running[namespace] = group.create_task(host.run(), name=f"identity in {namespace}")
                    elif not count:
                        await self._end(running.pop(namespace, None))
                        self._forget(namespace)
                await self._other.wait()

    def told(self) -> Sequence[objects_pb2.HostIdentity]:
        """Return what the Node says of them, by namespace."""
        found = (host.told() for _, (host, _) in sorted(self._needed.items()))
        return [one for one in found if one is not None]

    def _made(self, node: str, namespace: str) -> HostIdentity:
        request = identities_pb2.IssueRequest(
            node=node, token=tokens.mint(self._key, f"node:{node}"), namespace=namespace
        )
        holder = Holder({"node": node, "namespace": namespace}, namespace, request)
        return HostIdentity(holder, self._folder, self.trust, self._issue, self._tell)

    def _tell(self) -> None:
        self.changed()

    @staticmethod
    async def _end(job: asyncio.Task[None] | None) -> None:
        if job is not None:
            job.cancel()
            await asyncio.wait({job})

    def _forget(self, namespace: str) -> None:
        """Take away the identity of a namespace, unless it is needed again."""
        host, count = self._needed[namespace]
        if not count:
            del self._needed[namespace]
            host.remove()
            self.changed()
        self._other.set()

    def _sweep(self) -> None:
        """Take away what an earlier node agent left and nobody needs."""
        kept = {_Files(self._folder, namespace).name for namespace in (*self._needed, *self._expected)}
        for file in self._folder.glob("*"):
            if file.stem not in kept:
                with suppress(OSError):
                    file.unlink()


class _Files:
    """The two files of an identity: certificates and key, and what was said of them."""

    def __init__(self, folder: Path, namespace: str) -> None:
        short = len(namespace) <= _LONGEST
        self.name = namespace if short else hashlib.sha256(namespace.encode()).hexdigest()
        self.pem = folder / f"{self.name}{_PEM}"
        self._json = folder / f"{self.name}{_TOLD}"

    def left(self) -> identities_pb2.Identity | None:
        try:
            return json_format.Parse(self._json.read_text(), identities_pb2.Identity())
        except (OSError, ValueError, json_format.ParseError):
            return None

    def holds(self, keys: Any, identity: identities_pb2.Identity) -> bool:
        found: bool = keys.holds_pem(self.pem.read_text(errors="replace"), identity)
        return found

    def write(self, made: Any, answer: identities_pb2.IssueResponse) -> None:
        self.pem.parent.mkdir(mode=0o700, exist_ok=True)
        config_file.write(self._json, json.dumps(json_format.MessageToDict(answer.identity)))
        config_file.write(self.pem, made.pem(answer, time.time()))

    def remove(self) -> None:
        for file in (self.pem, self._json):
            with suppress(OSError):
                file.unlink()
