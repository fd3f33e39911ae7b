"""What the node agent needs of a machine to run tasks: the contract of runtimes, with every type that it speaks in.

A runtime makes a task's network, starts and signals processes in it, reports how they end, and takes all of it away. Rule:
it decides nothing about a task's life. A running task needs no node agent: after a restart `Runtime.start` returns what
still runs (adoption). Of the mesh's directory a task's
processes find `xds/sock` and their own files, under the same paths.
tests/contract/runtime_suite.py holds for each implementation.
"""

import socket
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from tsunagu_node.outside.relay.destinations import Policy

if TYPE_CHECKING:
    from tsunagu.v1 import ecs_pb2
    from tsunagu_node.runtime.outside import WayOut

RELAY: Final = "relay"
"""Name of the process that accepts connections at a task's published ports."""
ENVOY_CONFIG: Final = "envoy.json"
IDENTITY: Final = "identity.json"
#: Begins the names of other certificates and keys of Envoy's. What has one of these names containers do not see.
CERTIFICATES: Final = "tls-"


class RuntimeUnavailable(Exception):
    """The runtime cannot be used here at all. The message says why, and what would be right."""


class RuntimeFailed(Exception):
    """The machine did not do what one task needs. The message says what, and is fit for the task's stopped reason."""


class CannotStart(RuntimeFailed):
    """A process could not be started, for instance because its program does not exist or may not be executed."""


class PortTaken(RuntimeFailed):
    """A published port cannot be listened at. The message says which and why."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """TCP that comes in for `port` goes to port `to` of the same task."""

    port: int
    to: int


@dataclass(frozen=True, slots=True)
class Capture:
    """What the task's processes send to `network`/`prefix` (IPv4) goes to the task's own port `to`. `protocol`: tcp, udp."""

    network: str
    prefix: int
    to: int
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of the machine, `host`:`host_port`, that leads to `alias`:`port` as a process of the task would call it."""

    host: str
    host_port: int
    alias: str
    port: int


@dataclass(frozen=True, slots=True)
class Network:
    """What is fixed when a task is created: the only nat rules of its network, and the ports that it may publish.

    `definition`: the task definition, of which a runtime with images takes names, volumes and limits; None: a gateway's task.
    `builds`: those of its images that such a runtime builds: reference -> absolute folder with a Dockerfile. `listened`: ports at
    which the node agent is going to `listen` inside, and `datagrams`: those of `datagrams`, which a runtime may prepare.
    `resolver`: the address of the name server that the task's /etc/resolv.conf names; empty: it names none. `egress`: what of the
    world outside the task may reach, until `WayOut.policies` says otherwise.
    """

    nat: Sequence[Redirect | Capture] = ()
    published: Sequence[PublishedPort] = ()
    definition: "ecs_pb2.RegisterTaskDefinitionRequest | None" = None
    builds: Mapping[str, str] = field(default_factory=dict)
    listened: Sequence[int] = ()
    datagrams: Sequence[int] = ()
    resolver: str = ""
    egress: Policy = Policy.ALLOW


@dataclass(frozen=True, slots=True)
class Image:
    """A container image, and what the container definition puts in the place of its settings; empty: the image's own.

    A runtime without images runs `entrypoint` and `command` with the machine's own files, as an ordinary user. One with images
    does all that `definition` says.
    """

    reference: str
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    definition: "ecs_pb2.ContainerDefinition | None" = None


@dataclass(frozen=True, slots=True)
class Program:
    """A program that the node agent itself brings into a task (Envoy). It may do what the task's root may, and starts in
    a directory that holds `AdminEndpoint.bind`.
    """

    argv: Sequence[str]


@dataclass(frozen=True, slots=True)
class Exec:
    """A command run in the place of a running container. Neither its output nor its end is remembered.

    `streams`: three file descriptors for stdin, stdout and stderr, whose owner is the caller; none: it has no input and its
    output is dropped. `tty`: they are a terminal, which becomes the command's own.
    """

    container: str
    argv: Sequence[str]
    streams: Sequence[int] = ()
    tty: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """A process to start in a task. `name`: of a container, "envoy", or of a command, which is used once.

    `env` is its whole environment, or what is added to an image's. `cwd`: an absolute path; empty: the image's, or "/".
    What an Image or a Program writes goes to the log file `name`.log.
    """

    name: str
    run: Image | Program | Exec
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""


@dataclass(frozen=True, slots=True)
class EngineContainer:
    """A container as the engine knows that runs it. `image_id`: the digest of its image, "sha256:...", or empty."""

    id: str
    name: str
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """How a process of a task is, or how it ended.

    `code`: None while it runs, 128 + signal when a signal killed it. Times: seconds since the epoch. `container`: None where no
    engine runs it. `reason`: what the code does not say, for instance that its memory was not enough; most often empty.
    """

    code: int | None
    started: float
    ended: float | None
    container: EngineContainer | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """The process `name` of a task ended. `code` and `reason`: as in ProcessState."""

    name: str
    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaskGone:
    """Everything of the task died at once."""


Event: TypeAlias = ProcessExited | TaskGone


@dataclass(frozen=True, slots=True, order=True)
class Listening:
    """A TCP port of a task at which something listens, with the address as that is written: 0.0.0.0, 127.0.0.1, ::."""

    port: int
    address: str


@dataclass(frozen=True, slots=True)
class AdminEndpoint:
    """The unix socket of Envoy's admin interface. `bind`: its path for Envoy; `connect`: its path for the node agent."""

    bind: str
    connect: str


class PortRelay(Protocol):
    """A started process RELAY whose ports are not open yet."""

    async def open(self) -> None:
        """Open the task's published ports. Raises PortTaken; it may then be tried again."""
        ...

    def close(self) -> None:
        """Let go of it. With open ports it goes on without the node agent, otherwise it ends."""
        ...


class RunningTask(Protocol):
    """A task's network, and the processes in it."""

    @property
    def id(self) -> str: ...
    @property
    def ip(self) -> str:
        """The address at which other tasks reach it."""
        ...

    @property
    def admin_endpoint(self) -> AdminEndpoint:
        """Usable until `remove` or `Runtime.close`."""
        ...

    def processes(self) -> Mapping[str, ProcessState]:
        """Return the images and programs started under each name, the last one of a name, as last heard of."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """Yield what ends from now on, TaskGone last. For one reader."""
        ...

    async def start(self, process: Process) -> None:
        """Start it. Raises CannotStart; one of this name that still runs is a reason."""
        ...

    async def signal(self, name: str, number: int, *, group: bool = False) -> None:
        """Signal the process, with `group` all that it started as well. One that has ended, or never was, is no error."""
        ...

    async def host_pid(self, name: str) -> int:
        """Return the pid of an image or a program as the machine's own `ps` shows it; 0 when it does not run."""
        ...

    def config_path(self, name: str) -> str:
        """Return the absolute path of the file `name` of `write_config` inside the task."""
        ...

    def write_config(self, name: str, text: str) -> None:
        """Write the file `name`, whole at once; the task's processes alone may read it, Envoy's files its Programs alone. Raises OSError."""
        ...

    def read_config(self, name: str) -> str:
        """Return what `write_config` wrote. Raises OSError."""
        ...

    async def set_hosts(self, names: Mapping[str, str]) -> None:
        """Make `names` (name -> IP) all of /etc/hosts beside the task itself; no reader misses one that stays. Raises OSError."""
        ...

    def hosts(self) -> Mapping[str, str]:
        """Return what /etc/hosts says now (name -> IP), whoever has written it. Raises OSError."""
        ...

    async def listening(self) -> frozenset[Listening]:
        """Return the TCP ports at which something in the task listens."""
        ...

    async def outgoing(self) -> socket.socket:
        """Return a TCP socket (IPv4) of the task's network that is not connected: what it connects to, it does as an app of
        the task would. The caller owns it. Raises RuntimeFailed.
        """
        ...

    async def listen(self, port: int) -> socket.socket:
        """Return a TCP socket that listens at the task's own 127.0.0.1:`port`, which nobody outside of the task reaches. The
        caller owns it. Where a runtime can, it is the socket of the node agent before, with the connections that wait there.
        Raises RuntimeFailed.
        """
        ...

    async def datagrams(self, port: int) -> socket.socket:
        """Return a UDP socket at the task's own 127.0.0.1:`port`; otherwise as `listen`."""
        ...

    async def stats(self, name: str) -> Mapping[str, Any] | None:
        """Return what a container uses, in the shape of Docker's API (GET /containers/ID/stats?one-shot=true; times in
        nanoseconds, memory in bytes); a member that is not known is missing. None when it does not run.
        """
        ...

    async def start_relay(self) -> PortRelay:
        """Start the process RELAY for the published ports. Its end is an event; SIGTERM closes its ports, and it ends with
        its last connection. Raises CannotStart.
        """
        ...

    async def kill(self) -> None:
        """End every process. The address goes on answering with resets, so that no caller waits for nobody."""
        ...

    async def remove(self) -> None:
        """After `kill`: take away its network and its files but the logs, and let the address rest."""
        ...


class Runtime(Protocol):
    """A machine that runs tasks."""

    @property
    def kind(self) -> str:
        """The name of the implementation: linux, docker."""
        ...

    @property
    def reason(self) -> str:
        """Why this runtime was chosen, for people."""
        ...

    @property
    def problem(self) -> str:
        """What does not work though the runtime does, for people; most often empty."""
        ...

    @property
    def task_cidr(self) -> str:
        """The network of the tasks' addresses, known from `start` on."""
        ...

    @property
    def has_images(self) -> bool:
        """Whether containers have file systems and environments of their own, and not the machine's."""
        ...

    @property
    def way_out(self) -> "WayOut":
        """What leaves the mesh."""
        ...

    @property
    def xds_socket(self) -> str:
        """The path at which a task's processes find the socket for proxies."""
        ...

    async def agent_pid(self) -> int:
        """Return the pid of this node agent as the machine's own `ps` shows it."""
        ...

    def heartbeat(self) -> None:
        """Tell whoever supervises this node agent that it runs. Never blocks."""
        ...

    async def machine_connection(self, protocol: str, host: str, port: int) -> socket.socket:
        """Return a socket of the machine's own network, `tcp` or `udp`, connected to host:port. Raises OSError."""
        ...

    async def machine_socket(self, protocol: str, host: str, port: int) -> socket.socket:
        """Return a socket at host:port of the machine itself (0: any free port): `tcp`, which listens, or `udp`. Raises PortTaken."""
        ...

    async def start(self) -> Sequence[RunningTask]:
        """Make the machine ready, sweep what dead tasks left, and return the tasks that still run (adoption)."""
        ...

    def validate(self, container: str, image: Image) -> None:
        """Raise RuntimeFailed, before anything of a task is made, when this runtime cannot run the container."""
        ...

    async def create(self, task_id: str, network: Network) -> RunningTask:
        """Return a new task with an address and no process. Raises RuntimeFailed, and then leaves nothing behind."""
        ...

    def preparing(self, task_id: str) -> str:
        """Return what `create` of the task waits for now, for people: an image that is pulled, and how far; most often empty."""
        ...

    def remembered(self, task_id: str) -> Mapping[str, ProcessState]:
        """Return how the processes of a task that is no more ended, as far as it is known."""
        ...

    def log_directory(self, task_id: str) -> Path:
        """Return the folder of a task's logs, also of one that is no more: lines of TIME STREAM TEXT in NAME.log, a full one as NAME.log.1."""
        ...

    async def forget(self, kept: Collection[str]) -> None:
        """Take away logs and records of the tasks that are no more, but those `kept` (IDs). What cannot be taken away is tried again."""
        ...

    async def close(self) -> None:
        """Let go of the tasks, which run on."""
        ...
