"""What is known of one call when somebody asks why it failed: what the control plane means, what the Envoys have, what a
call just now got.

Pure data. The one rule: None is "not known", never "no"; why it is not known stands in `Facts.missing`. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.cli.why.target import Target


@dataclass(frozen=True, slots=True)
class Caller:
    """The task whose app calls. `connect`: it has a proxy; `node`: why its node is not READY, empty when it is."""

    task: str  # its ID
    service: str
    namespace: str
    status: str = "RUNNING"
    connect: bool = True
    node: str = ""
    stopped_reason: str = ""
    proxy_state: str = "LIVE"  # STARTING LIVE RESTARTING STOPPED
    proxy_restarts: int = 0
    proxy_exit_code: int | None = None
    backends: tuple[str, ...] = ()  # the discovery names that it may call; none: all
    egress: tuple[str, ...] = ()  # of its namespace, as the Namespace says it
    networks: tuple[str, ...] = ()  # of the tasks of all nodes


@dataclass(frozen=True, slots=True)
class ExternalTls:
    """TLS with an External. `names`: of which its certificate must have one; none: the DNS name that is called."""

    names: tuple[str, ...]
    own_authorities: bool  # it names those that it trusts


@dataclass(frozen=True, slots=True)
class Alias:
    """A name and port that is offered, by which service, and with which settings. Timeouts of 0: none."""

    namespace: str
    name: str
    port: int
    service: str
    protocol: str = "http"
    ip: str = ""  # empty: it has no virtual IP yet
    discovery_name: str = ""
    container_port: int = 0
    request_timeout: float = 15
    idle_timeout: float = 300
    visible: bool = True  # to the caller's deployment
    leads: tuple[str, ...] = ()  # the envoy clusters to which its routes may lead
    answers: bool = False  # a Route of the user's own answers some calls by itself
    external: str = ""  # NAMESPACE/NAME of the External that it is, if it is one
    resolved: tuple[str, ...] = ()  # HOST:PORT of that External, if the caller's Envoy resolves them
    tls: ExternalTls | None = None  # that it begins

    @property
    def is_http(self) -> bool:
        return self.protocol != "tcp"


@dataclass(frozen=True, slots=True)
class Service:
    """A service, and whether it offers anything: `offers` are its names with ports; `reason`: why it is not steady."""

    name: str  # without its cluster
    namespace: str
    connect: bool = True
    offers: tuple[tuple[str, int], ...] = ()
    desired: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """A task of the service that offers the name, as the registry has it. `serving`: callers are given it as an endpoint.

    What is no task (an instance that was registered) has its address for a name.
    """

    task: str
    status: str = "RUNNING"
    health: str = "UNKNOWN"
    ip: str = ""
    port: int = 0  # to which callers' proxies connect
    serving: bool = True
    stopping: bool = False
    waits_for: str = ""
    failure: str = ""  # of one that has stopped: why, with the last line of what failed
    check: str = ""  # of one that is UNHEALTHY: what its check said
    ended: float | None = None  # for how long it has been stopped
    node: str = ""  # why its node is not READY
    tls: bool = False  # `port` is where it takes TLS
    plain_port: int = 0  # where it takes plaintext, if it does

    @property
    def address(self) -> str:
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class TypeState:
    """How far one type of xDS is at the caller's proxy, as the control plane knows."""

    type: str  # CDS, EDS, LDS, RDS
    state: str  # SYNCED STALE NACKED NOT_SENT
    age: float = 0.0
    error: str = ""
    held: float = 0.0  # for how long its responses are still kept back by hand


@dataclass(frozen=True, slots=True)
class Stream:
    """The caller's proxy as the control plane sees it. `resources`: state of what this call needs, by type."""

    connected: bool = True
    types: tuple[TypeState, ...] = ()
    resources: Mapping[str, TypeState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Host:
    """An endpoint in the caller's Envoy. `health`: as told over EDS; counts are since Envoy's start."""

    address: str
    health: str = "HEALTHY"
    ejected: bool = False
    failing: bool = False  # its active health check fails
    requests: int = 0
    errors: int = 0
    connect_failures: int = 0

    @property
    def usable(self) -> bool:
        return self.health == "HEALTHY" and not self.ejected and not self.failing


@dataclass(frozen=True, slots=True)
class Held:
    """What the caller's Envoy has for this call. States: active, warming, draining, or empty (it has none)."""

    listener: str = "active"
    refused: Mapping[str, str] = field(default_factory=dict)  # short type -> the words of Envoy's refusal
    route: str = "active"  # also for tcp, which has none
    cluster_name: str = ""  # to which the route (or the tcp filter) leads, for the path that was asked for
    cluster: str = "active"
    matched: str = ""  # which route took the request: its virtual host and match
    direct: str = ""  # the route answers itself: "status 404"
    hosts: tuple[Host, ...] = ()
    stats: Mapping[str, int] = field(default_factory=dict)  # of the cluster, without its prefix
    request_timeout: float | None = None  # of the route that takes the call; 0: none
    idle_timeout: float | None = None
    delay: float = 0  # seconds, of a fault that was set up
    others: tuple[
        str, ...
    ] = ()  # where other calls of it go: by weight, or by routes that look at headers or parameters
    ejection: tuple[int, float, float] = (5, 30, 300)  # failures in a row, seconds at first, seconds at most
    limits: Mapping[str, int] = field(default_factory=dict)  # circuit breakers' thresholds below 2**31-1
    peers: tuple[str, ...] = ()  # SPIFFE IDs of which a server has to prove one; none: the cluster speaks no TLS
    counted: Mapping[str, int] = field(default_factory=dict)  # by how much `stats` have grown since before the call

    def stat(self, name: str) -> int:
        return self.stats.get(name, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one connection got. `refused`: why there was none; `status`: of HTTP; `ended`: closed, reset, or empty (still open).

    `spoke`: what the first bytes look like: http1, http2, tls, other, or empty (no byte came). `timed_out`: it was given
    up after `seconds`: with `refused`, no connection was made; with a `status`, the body had not ended. `ended` with a `status`:
    within the body. `broken`: why what came is no valid HTTP. `lines`, `size`: of the head of the response, `size` in bytes.
    """

    refused: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    spoke: str = ""
    ended: str = ""
    timed_out: bool = False
    seconds: float = 0.0
    broken: str = ""
    lines: int = 0
    size: int = 0

    @property
    def said(self) -> str:
        """Its text: of gRPC, the status message."""
        return self.headers.get("grpc-message") or self.body

    @property
    def words(self) -> str:
        """The answer in words."""
        if self.refused:
            return self.refused[:1].lower() + self.refused[1:]
        if self.status:
            return f"{self.status} {self._rest}"
        if self.broken or (self.spoke == "http1" and self.ended):
            return "HTTP that cannot be read"
        if self.timed_out:
            return f"no answer for {_short(self.seconds)}"
        if self.spoke:
            return f"bytes of {_PROTOCOLS[self.spoke]}"
        return {"closed": "closed without an answer", "reset": "reset without an answer"}.get(self.ended, "open")

    @property
    def _rest(self) -> str:
        if self.ended:
            return f"and was {self.ended} within its body"
        if self.timed_out:
            return f"at once, and its body had not ended after {_short(self.seconds)}"
        return f"in {_short(self.seconds)}"


_PROTOCOLS: Final = {"http1": "HTTP/1.1", "http2": "HTTP/2", "tls": "TLS", "other": "another protocol than HTTP"}


@dataclass(frozen=True, slots=True)
class Server:
    """The other side at one endpoint: its Envoy, what listens in the task, and the app asked directly.

    `listening`: addresses with ports; None: not known. `app`: what the app answers at 127.0.0.1 and its container port;
    `http2`, `tls`: what it answers to the beginning of these protocols, when that was tried.
    """

    task: str
    envoy: str = ""  # why its Envoy does not answer; empty when it does
    ingress: bool | None = True  # it has the ingress listener
    container_port: int = 0
    listening: tuple[tuple[str, int], ...] | None = None
    app: Answer | None = None
    http2: Answer | None = None
    tls: Answer | None = None
    stats: Mapping[str, int] = field(default_factory=dict)  # of the app's cluster, without its prefix


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that an Envoy shows. `ids`: its URIs; `left`: seconds until it expires, negative when it has."""

    serial: str  # hexadecimal, without leading zeros
    ids: tuple[str, ...]
    left: float


@dataclass(frozen=True, slots=True)
class Identity:
    """How a task proves who it is. `given`: serial of the last certificate that the control plane signed for it; empty: none.
    `trusted`: an authority in force has signed that. `shown`: what its Envoy has; None: nothing.
    """

    task: str
    given: str = ""
    trusted: bool = True
    problem: str = ""  # why there is no good certificate, as its node agent says
    shown: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What AccessPolicies say of the call at one port where it may arrive. `request`: in words, empty for tcp. `policies`: those that
    are enforced there. `rule`: the one that allows the call. `remedy`: the entry of `allow` that would; empty if it is allowed.
    """

    service: str  # CLUSTER/SERVICE
    port: str
    allowed: bool = True
    request: str = ""
    policies: tuple[str, ...] = ()
    rule: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it. `missing`: what could not be looked at -> why."""

    target: Target
    caller: Caller
    alias: Alias | None = None  # what the target is, when it is offered in the caller's namespace
    names: tuple[Alias, ...] = ()  # all that its namespace offers
    elsewhere: tuple[Alias, ...] = ()  # of other namespaces, those of this name
    services: tuple[Service, ...] = ()
    providers: tuple[Provider, ...] = ()  # newest first
    addresses: Mapping[str, str] = field(default_factory=dict)  # IP -> the task that has it
    tls_alone: tuple[str, ...] = ()  # IP:PORT of ports of tasks that take TLS and nothing else
    hosts_file: Mapping[str, str] | None = None  # names that the caller's app resolves
    stream: Stream | None = None
    held: Held | None = None
    policy: str = ""  # name of the TrafficPolicy of where the call leads
    access: Access | None = None  # None: no policy selects where it leads
    servers: tuple[Server, ...] = ()
    identities: tuple[
        Identity, ...
    ] = ()  # of the caller and of `servers`, those that were seen; none where no TLS is spoken
    answer: Answer | None = None  # of a call just now, through the caller's Envoy
    records: tuple[str, ...] | None = (
        None  # addresses of the target as a DNS name of Service Discovery; None: it is none
    )
    zone: str = ""  # the DNS namespace of this mesh in which the target lies, whether it has a record there or not
    empty_for: float | None = None  # since when callers have had no endpoint, at least
    lag: int = 0  # revisions of the registry that are not published yet
    unoffered: Mapping[str, int] = field(default_factory=dict)  # NAME:PORT -> connections to it that nobody took
    unknown_lookups: Mapping[str, int] = field(default_factory=dict)  # names that nobody has -> how often asked for
    refused_outside: Mapping[str, str] = field(default_factory=dict)  # IP:PORT beyond the mesh -> why it was refused
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def serving(self) -> tuple[Provider, ...]:
        return tuple(one for one in self.providers if one.serving)

    @property
    def request_timeout(self) -> float:
        """Seconds that a call may take, as Envoy has it, else as the port says; 0: no limit."""
        known = self.held.request_timeout if self.held else None
        return known if known is not None else self.alias.request_timeout if self.alias else 0

    @property
    def idle_timeout(self) -> float:
        """Seconds without a byte, likewise."""
        known = self.held.idle_timeout if self.held else None
        return known if known is not None else self.alias.idle_timeout if self.alias else 0

    @property
    def provider_service(self) -> Service | None:
        """The service that offers the target."""
        if self.alias is None:
            return None
        return next((one for one in self.services if one.name == self.alias.service), None)


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


short_time = _short
