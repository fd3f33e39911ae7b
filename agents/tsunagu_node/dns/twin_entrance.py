"""Where a connection through a twin enters its task: by TLS with this machine's identity, or in plaintext.

| the task says of the port | the connection |
|---|---|
| it is `alone` | with TLS; it waits for this machine's certificate |
| it is `ready`, and the mode is not `off` | with TLS, when this machine has a certificate; in plaintext until then |
| neither, or it is not Service Connect's | in plaintext, at the container port |

Rule: that is asked for each connection. It is the same as what callers' proxies do, so a mode changes under twins as it does under them.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from tsunagu.kit.log import get
from tsunagu.model import identities
from tsunagu_node.dns.stream import Way
from tsunagu_node.identity.host_identity import HostIdentities, HostIdentity
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.task.calls.tls_plan import Led
from tsunagu_node.task.spec import TaskSpec

_LOOK: Final = 0.1  # seconds after which it is asked whether there is another way meanwhile
log: Final = get("node.twin")


@dataclass(frozen=True, slots=True)
class Entrances:
    """Those of one task. `led`: where callers of a container port are led. `hosts`: the identities of this machine."""

    spec: TaskSpec
    task: RunningTask
    led: Callable[[int], Led]
    hosts: HostIdentities

    @contextmanager
    def open(self) -> Iterator[Callable[[int], "PortEntrance"]]:
        """Return what makes the entrance of a container port; for the time of the block this machine has an identity for the task's callers."""
        with self.hosts.needed(self.spec.task.spec.node, self.spec.namespace) as host:
            yield lambda port: PortEntrance(self, host, port)

    @property
    def server(self) -> str:
        """The SPIFFE ID that the task's proxy has to prove."""
        family = self.spec.revision.task_definition.family
        return str(identities.of_task(self.hosts.trust.now.trust_domain, self.spec.task.spec, family))


class PortEntrance:
    """How one container port of a task is reached."""

    def __init__(self, entrances: Entrances, host: HostIdentity, port: int) -> None:
        self._of = entrances
        self._host = host
        self._port = port
        self._trouble = ""  # of the last connection that failed

    async def way(self) -> Way:
        """Return how it is reached now. Raises OSError when our certificate cannot be read."""
        while (led := self._of.led(self._port)).alone and not self._host.ready:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._host.until_ready()
        if not led.port or not self._host.ready:
            return Way((self._of.task.ip, self._port))
        return Way((self._of.task.ip, led.port), self._host.context(), self._of.server)

    def failed(self, error: OSError) -> None:
        """Log what TLS says of a connection; what is the same as the last time is not said again."""
        if isinstance(error, ssl.SSLError) and (trouble := str(error)) != self._trouble:
            self._trouble = trouble
            log.warning("TLS through a twin", task=self._of.spec.name, port=self._port, reason=trouble)
