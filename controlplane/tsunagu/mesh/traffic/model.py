"""The words of traffic: a *rule* matches requests and says what becomes of them, a *table* is the ordered rules of a front (an
alias, a gateway's port), a *destination* is a discovery name or one revision of it, a *policy* is how callers treat it.

Service Connect is the table with one rule, and the default policy. Everything else (a Route, a TrafficPolicy, a deployment's
test traffic) becomes these values too. The one rule: they hold no word of a dialect and none of Envoy's messages, so that
dialects and `translate` do not know of each other. Durations are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Destination:
    """A discovery name of the namespace; with `revision` (CLUSTER/SERVICE/HASH) only the tasks of that one."""

    discovery_name: str
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A destination with its share, in proportion to the others of the same rule."""

    to: Destination
    weight: int = 1


# -- what is matched --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one header or query parameter. `kind`: present, exact, prefix, suffix, regex, range (of `numbers`)."""

    name: str
    kind: str = "present"
    value: str = ""
    numbers: tuple[int, int] = (0, 0)  # from the first on, without the second
    invert: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """What has to hold of a request, all of it. `path_kind`: prefix, exact, regex."""

    path_kind: str = "prefix"
    path: str = "/"
    method: str = ""
    headers: tuple[Condition, ...] = ()
    query: tuple[Condition, ...] = ()

    @property
    def everything(self) -> bool:
        return self == Match()


# -- what becomes of a request ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of `percent` of the requests goes there; nobody waits for its answers."""

    to: Destination
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What is another in the request that is forwarded; empty: as it came. `prefix` takes the place of the matched one."""

    path: str = ""
    prefix: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Forward:
    """The request goes to one of `targets`; none: nobody is there, which is answered with 503."""

    targets: tuple[Weighted, ...]
    rewrite: Rewrite = field(default_factory=Rewrite)
    mirror: Mirror | None = None
    by_own_name: bool = False  # a target outside of the mesh is told its own DNS name as the host


@dataclass(frozen=True, slots=True)
class Redirect:
    """The caller is told to ask elsewhere; empty: as it asked."""

    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    prefix: str = ""
    status: int = 301
    strip_query: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The proxy answers by itself."""

    status: int
    body: str = ""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """Headers that are set in place of others, added beside others, and removed."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


# -- how it is tried --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """Milliseconds; 0: none. None: what the next in order says (the policy, then the server's port)."""

    request: int | None = None  # all tries together
    idle: int | None = None  # without a byte in either direction

    def over(self, other: Limits) -> Limits:
        """These limits, and those of the other where there is none here."""
        return Limits(
            other.request if self.request is None else self.request, other.idle if self.idle is None else self.idle
        )


@dataclass(frozen=True, slots=True)
class Retry:
    """When a request is tried again, besides the first try.

    `conditions`: connect-failure, refused-stream, reset. `codes`: HTTP status codes. `grpc`: gRPC statuses, e.g. unavailable.
    """

    times: int
    conditions: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    grpc: tuple[str, ...] = ()
    per_try: int = 0  # ms; 0: no limit but that of the request
    only_idempotent: bool = False

    @property
    def harmless(self) -> Retry:
        """What of it may be done with a request that must not be executed twice: it surely reached no app."""
        safe = tuple(one for one in self.conditions if one in {"connect-failure", "refused-stream"})
        return Retry(self.times if safe else 0, safe, per_try=self.per_try)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a percentage of the requests on purpose. An abort has an HTTP status or a gRPC status."""

    delay_percent: float = 0.0
    delay: int = 0
    abort_percent: float = 0.0
    http_status: int = 0
    grpc_status: int | None = None


@dataclass(frozen=True, slots=True)
class HashKey:
    """What of a request belongs to one endpoint. `kind`: header, cookie, query_parameter, source_ip."""

    kind: str
    name: str = ""
    ttl: int | None = None  # of a cookie that the proxy makes, ms (0: for the session); None: it makes none


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a table. `name` is that of the object that says it; empty: Service Connect's own."""

    action: Forward | Redirect | Answer
    name: str = ""
    match: Match = field(default_factory=Match)
    limits: Limits = field(default_factory=Limits)
    retry: Retry | None = None  # None: as the policy says, else as Service Connect does
    fault: Fault | None = None  # None: as the policy says, else none
    request_headers: HeaderChanges = field(default_factory=HeaderChanges)
    response_headers: HeaderChanges = field(default_factory=HeaderChanges)
    hash_keys: tuple[HashKey, ...] = ()  # of the destination's policy


# -- policies ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Balancing:
    """How an endpoint is chosen. `algorithm`: as in `kind: TrafficPolicy`."""

    algorithm: str = "ROUND_ROBIN"
    choices: int = 2  # of LEAST_REQUEST
    slow_start: int = 0  # ms; 0: a new endpoint has its whole share at once
    slow_start_percent: int = 10


@dataclass(frozen=True, slots=True)
class Pool:
    """The most that one proxy has at once; None: no limit."""

    connections: int | None = None
    pending: int | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class Ejection:
    """When an endpoint that fails is avoided, and for how long (ms). `errors` 0: never."""

    errors: int = 5
    interval: int = 10_000
    base: int = 30_000
    longest: int = 300_000
    percent: int = 10


@dataclass(frozen=True, slots=True)
class Check:
    """What each proxy asks each endpoint again and again. `protocol`: http, http2, grpc, tcp; empty: the port's."""

    protocol: str = ""
    path: str = "/"
    healthy: int = 2
    unhealthy: int = 2
    interval: int = 5_000
    timeout: int = 2_000
    service: str = ""  # of grpc


@dataclass(frozen=True, slots=True)
class Budget:
    """How many of the requests in flight may be retries."""

    percent: float = 20.0
    at_least: int = 3


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """The part of a policy that is about endpoints and connections to them. The default is Service Connect's."""

    balancing: Balancing = field(default_factory=Balancing)
    pool: Pool = field(default_factory=Pool)
    ejection: Ejection = field(default_factory=Ejection)
    check: Check | None = None
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """The part of a policy that is about requests: it is in routes, so that no endpoint is forgotten when it changes."""

    limits: Limits = field(default_factory=Limits)
    retry: Retry | None = None
    fault: Fault | None = None
    hash_keys: tuple[HashKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """How all callers treat a discovery name."""

    endpoints: EndpointPolicy = field(default_factory=EndpointPolicy)
    requests: RequestPolicy = field(default_factory=RequestPolicy)


# -- Service Connect --------------------------------------------------------------------------------------------------

#: Its retry conditions are not published. These are what its users report
#: (github.com/aws/containers-roadmap/issues/1963) and App Mesh's (its User Guide, Envoy defaults).
CONNECT_RETRY = Retry(2, ("connect-failure", "refused-stream", "reset"), (503,))
CONNECT_RETRY_GRPC = Retry(2, ("connect-failure", "refused-stream", "reset"), (503,), ("unavailable",))
CONNECT = Policy()
