"""The faults that `tsunagu why` knows, one example of each rule as facts. docs/why.md lists the sentences that it says to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tsunagu.cli.why.facts import (
    Access,
    Alias,
    Answer,
    Caller,
    ExternalTls,
    Facts,
    Held,
    Host,
    Provider,
    Server,
    Service,
    Stream,
    TypeState,
)
from tsunagu.cli.why.target import parse
from tsunagu.cli.why.verdict import Sure

API = Alias("shop", "api", 80, "api", "http", "127.255.0.1", "api", 8080, leads=("svc/shop/api",))
DB = Alias("shop", "db", 5432, "db", "tcp", "127.255.0.2", "db", 5432, request_timeout=0, idle_timeout=3600)
RPC = Alias("shop", "rpc", 9000, "rpc", "grpc", "127.255.0.3", "rpc", 9000)
LEDGER = Alias("bank", "ledger", 80, "ledger", "http", "127.255.1.1", "ledger", 8080)
WEB = Caller("web-1", "web", "shop")
OK = Answer(status=200, headers={"server": "envoy", "x-envoy-upstream-service-time": "2"}, spoke="http1", seconds=0.003)
SYNCED = {short: TypeState(short, "SYNCED") for short in ("LDS", "RDS", "CDS", "EDS")}
LISTENS = (("0.0.0.0", 8080), ("127.0.0.1", 15001), ("0.0.0.0", 15100))
SERVICES = (
    Service("api", "shop", offers=(("api", 80),)),
    Service("db", "shop", offers=(("db", 5432),)),
    Service("rpc", "shop", offers=(("rpc", 9000),)),
    Service("web", "shop"),
    Service("plain", "", connect=False),
)


def envoys_own(status, body, *, beyond=False, **headers):
    """An answer that an Envoy made itself; `beyond`: the Envoy of the other side."""
    known = {"server": "envoy", **({"x-envoy-upstream-service-time": "1"} if beyond else {}), **headers}
    return Answer(status=status, headers=known, body=body, spoke="http1", seconds=0.002)


def task(number=1, alias=API, **more):
    port = alias.container_port
    return Provider(f"{alias.service}-{number}", ip=f"10.88.0.{number}", port=port, **more)


def well(alias=API, target="", **more):
    """A call that works, with one difference or more."""
    serves, http = task(alias=alias), alias.is_http
    known = {
        "target": parse(target or f"{alias.name}:{alias.port}"),
        "caller": WEB,
        "alias": alias,
        "names": (API, DB, RPC),
        "services": SERVICES,
        "providers": (serves,),
        "hosts_file": {one.name: one.ip for one in (API, DB, RPC)},
        "stream": Stream(True, tuple(SYNCED.values()), SYNCED),
        "held": held(alias),
        "servers": (server(alias),),
        "answer": OK if http else Answer(spoke=""),
    }
    return Facts(**{**known, **more})


def held(alias=API, **more):
    known = {"cluster_name": f"svc/shop/{alias.discovery_name}", "hosts": (Host(f"10.88.0.1:{alias.container_port}"),)}
    return Held(**{**known, **more})


PAY = replace(
    API, name="pay", service="pay", discovery_name="pay", container_port=0, leads=("svc/shop/pay",), external="shop/pay"
)
TLS = ExternalTls((), own_authorities=False)
FAILED = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"


def outside(alias=PAY, stats=None, **more):
    """A call of an External at 192.0.2.7:443 that Envoy cannot make."""
    hosts = (Host("192.0.2.7:443", connect_failures=3),)
    known = {
        "providers": (Provider("192.0.2.7:443", ip="192.0.2.7", port=443),),
        "held": held(alias, hosts=hosts, stats=stats or {}),
        "servers": (),
        "hosts_file": {alias.name: alias.ip},
        "answer": envoys_own(503, FAILED),
    }
    return well(alias, **{**known, **more})


def server(alias=API, **more):
    http2 = Answer(spoke="http2", seconds=0.001) if alias.protocol in {"http2", "grpc"} else None
    app = Answer(status=200, spoke="http1", seconds=0.002) if alias.protocol == "http" else Answer()
    listening = tuple((address, alias.container_port if port == 8080 else port) for address, port in LISTENS)
    known = {
        "container_port": alias.container_port,
        "listening": listening,
        "app": None if http2 else app,
        "http2": http2,
    }
    return Server(f"{alias.service}-1", **{**known, **more})


def nobody(target, **more):
    """A call to what nobody offers."""
    return Facts(parse(target), WEB, names=(API, DB, RPC), services=SERVICES, hosts_file={}, **more)


def leaving(target, *egress, refused=None):
    """A call to something outside of the mesh, by a task of a namespace with this egress."""
    return Facts(
        parse(target),
        replace(WEB, egress=egress),
        names=(API, DB, RPC),
        services=SERVICES,
        hosts_file={},
        refused_outside=refused or {},
    )


def unserved(*providers, alias=API, **more):
    """A name without an endpoint."""
    answer = envoys_own(503, "no healthy upstream")
    empty = held(alias, hosts=())
    known = {"providers": providers, "held": empty, "servers": (), "answer": answer, "empty_for": 42.0}
    return well(alias, **{**known, **more})


def failing(body="upstream connect error or disconnect/reset before headers. reset reason: connection failure", **more):
    """A call whose other side fails."""
    return {"answer": envoys_own(503, body, beyond=True), **more}


@dataclass(frozen=True)
class Case:
    """A fault: its kind, what it is for people, and the facts of one example."""

    kind: str
    what: str
    facts: Facts
    sure: Sure = Sure.YES


CASES = (
    # The caller.
    Case("no-service-connect", "the caller has no proxy", well(caller=replace(WEB, connect=False), held=None, answer=None)),
    Case("caller-stopped", "the caller has stopped", well(caller=replace(WEB, status="STOPPED", stopped_reason="scaled in"), answer=None)),
    Case("caller-not-running", "the caller is not RUNNING", well(caller=replace(WEB, status="PENDING"), answer=None)),
    Case("caller-not-running", "the caller is about to stop", well(caller=replace(WEB, status="STOPPING"), held=None, answer=None, missing={"caller's Envoy": "Connection reset by peer"})),
    # Names and ports.
    Case("itself", "a call to localhost", nobody("localhost:80")),
    Case("address-not-name", "a call to an address", nobody("10.88.0.9:8080", addresses={"10.88.0.9": "api-1"})),
    Case("other-namespace", "a name of another namespace", nobody("ledger:80", elsewhere=(LEDGER,))),
    Case("service-without-connect", "a service that is in no namespace", nobody("plain:80")),
    Case("client-only", "a service that only calls", nobody("web:80")),
    Case("other-name", "the name of a service whose alias is another", nobody("api.shop:80")),
    Case("egress-denied", "a name outside that egress denies", leaving("api.example.com:443", "deny")),
    Case("egress-denied", "an address outside that egress denies", leaving("198.51.100.7:443", "deny")),
    Case("egress-not-listed", "a name outside that egress does not list", leaving("api.example.com:443", "*.example.org")),
    Case("egress-not-listed", "this machine, which egress does not list", leaving("169.254.88.1:5432", "*.example.org")),
    Case("egress-by-name", "an address outside where egress lists names", leaving("198.51.100.7:443", "api.example.com"), Sure.LIKELY),
    Case("refused-outside", "a port of the mesh itself, on this machine", leaving("host.tsunagu.internal:9901", refused={"169.254.88.1:9901": "own-port"})),
    Case("outside", "a name of the internet", leaving("api.example.com:443")),
    Case("unknown-name", "a name that nobody has", nobody("apii:80")),
    Case("unknown-name", "a name that nobody has in a DNS namespace of the mesh", replace(leaving("nope.corp.internal:80"), zone="corp.internal")),
    Case("unknown-address", "a virtual address that nobody has", nobody("127.255.9.9:80")),
    Case("unknown-port", "a port that is not offered", nobody("api:81")),
    Case("unknown-port", "the container's port instead of the alias's", nobody("api:8080")),
    Case("dns-name", "a name of Service Discovery", nobody("users.corp.internal:8080", records=("10.88.0.4",))),
    Case("dns-empty", "a name of Service Discovery that has no instance", nobody("users.corp.internal:8080", records=())),
    Case("not-a-backend", "a name that its service has not said to call (tsunagu.backends)", well(caller=replace(WEB, backends=("db",)), held=held(listener="", route=""), hosts_file={}, answer=Answer(ended="closed"))),
    Case("frozen", "a task that was deployed before the name (freeze)", well(replace(API, visible=False), held=held(listener=""), answer=None)),
    Case("https", "https to a port of the mesh", well(target="https://api:80")),
    Case("tcp-to-http", "another protocol to an http port", well(target="tcp://api:80")),
    Case("grpc-to-http", "gRPC to an http port", well(target="grpc://api:80")),
    Case("no-address", "a name without a virtual address", well(replace(API, ip=""), answer=None), Sure.LIKELY),
    # Nobody serves.
    Case("desired-none", "desiredCount 0", unserved(services=(Service("api", "shop", desired=0),))),
    Case("unhealthy", "a health check that fails", unserved(task(health="UNHEALTHY", serving=False, check="ended with 1: no ledger"))),
    Case(
        "not-admitted-other-port",
        "an app that listens at another port",
        unserved(
            task(status="ACTIVATING", serving=False, waits_for="nothing in it listens at port 8080"),
            servers=(server(listening=(("0.0.0.0", 9999), ("0.0.0.0", 15100)), app=None),),
        ),
    ),
    Case(
        "not-admitted",
        "an app that listens only after a while",
        unserved(task(status="ACTIVATING", serving=False, waits_for="nothing in it listens at port 8080")),
    ),
    Case(
        "failing-tasks",
        "tasks that end as soon as they start",
        unserved(
            task(2, status="PENDING", serving=False),
            task(status="STOPPED", serving=False, ended=3, failure="Essential container in task exited: app, with code 3"),
        ),
    ),
    Case("node-lost", "the node of the tasks is gone", unserved(task(serving=False, node="the node laptop is gone"))),
    Case("stopping", "the last task stops", unserved(task(status="DEACTIVATING", serving=False, stopping=True))),
    Case("no-task", "no task for another reason", unserved(services=(Service("api", "shop", reason="no node has room"),))),
    # The caller's Envoy.
    Case("envoy-down", "the caller's Envoy has died", well(caller=replace(WEB, proxy_state="RESTARTING", proxy_restarts=3, proxy_exit_code=139), held=None, answer=None)),
    Case("envoy-silent", "the caller's Envoy hangs", well(held=None, answer=None, missing={"caller's Envoy": "no answer in time"})),
    Case("held", "a response that is held back by hand", well(stream=Stream(True, (TypeState("LDS", "NOT_SENT", held=9),)), held=held(listener="", route=""), answer=None)),
    Case("refused", "a resource that Envoy has refused", well(held=held(listener="", refused={"LDS": "address is necessary"}), answer=Answer(ended="closed"))),
    Case("not-told", "a proxy that has not been told yet", well(stream=Stream(True, (), {**SYNCED, "EDS": TypeState("EDS", "STALE", 6)}), held=held(hosts=()), answer=envoys_own(503, "no healthy upstream"))),
    Case("not-published", "a control plane that is behind", well(lag=3, held=held(listener=""), answer=Answer(ended="closed")), Sure.LIKELY),
    Case("disconnected", "a proxy without a stream", well(stream=Stream(False), held=held(hosts=()), answer=envoys_own(503, "no healthy upstream")), Sure.LIKELY),
    Case("warming", "a cluster that warms", well(held=held(cluster="warming"), answer=envoys_own(503, "no healthy upstream"))),
    Case("absent", "Envoy lacks what it was sent", well(held=held(listener="", route=""), answer=Answer(ended="closed"))),
    Case("no-route", "no route takes the path", well(held=held(cluster_name=""), target="http://api/v1", answer=envoys_own(404, ""))),
    Case("leads-elsewhere", "a route that leads elsewhere", well(held=held(cluster_name="svc/shop/other")), Sure.LIKELY),
    Case("strange-endpoints", "endpoints that are no tasks of the service", well(held=held(hosts=(Host("10.88.0.77:15100"),))), Sure.LIKELY),
    Case("not-captured", "a task whose calls do not reach its Envoy", well(answer=Answer(refused="Connection refused")), Sure.LIKELY),
    Case("route-answers", "a Route that answers by itself", well(replace(API, answers=True), held=held(cluster_name="", direct="status 410"), answer=envoys_own(410, "gone"))),
    Case("no-hosts-line", "a name that its app does not find yet", well(hosts_file={})),
    Case("old-address", "an app with an old address of the name", well(hosts_file={"api": "127.255.0.7"})),
    Case("agent-down", "the node agent is dead", well(hosts_file=None, held=None, servers=(), answer=None, missing={"caller's node agent": "the node agent 'laptop' does not answer"}), Sure.NO),
    # The other side.
    Case("server-envoy-down", "the other side's Envoy hangs", well(servers=(server(envoy="no answer in time", ingress=None),), **failing())),
    Case("no-ingress", "the other side has no ingress listener", well(servers=(server(ingress=False),), **failing())),
    Case("app-listens-elsewhere", "an app that listens at another address", well(servers=(server(listening=(("10.88.0.1", 8080),), app=Answer(refused="Connection refused")),), **failing())),
    Case("app-silent", "an app that has stopped listening", well(servers=(server(listening=(("0.0.0.0", 15100),), app=None),), **failing())),
    Case("app-accepts-nothing", "an app that listens and accepts nothing", well(servers=(server(app=Answer(refused="no connection for 5.0 s", timed_out=True)),), **failing())),
    Case("app-tls", "an app that says that it expects TLS", well(servers=(server(app=Answer(status=400, spoke="http1", body="Client sent an HTTP request to an HTTPS server.")),), answer=replace(OK, status=400, body="Client sent an HTTP request to an HTTPS server."))),
    Case("app-tls", "an app that expects TLS", well(servers=(server(app=Answer(spoke="tls")),), **failing())),
    Case("app-http2", "an app that speaks HTTP/2 behind http", well(servers=(server(app=Answer(ended="closed"), http2=Answer(spoke="http2")),), **failing())),
    Case("app-http1", "an app that speaks HTTP/1.1 behind grpc", well(RPC, servers=(server(RPC, http2=Answer(spoke="http1")),), **failing())),
    Case("app-no-http", "an app that speaks no HTTP behind http", well(servers=(server(app=Answer(spoke="other")),), **failing())),
    Case("app-closes", "an app that closes its connections", well(servers=(server(app=Answer(ended="closed")),), **failing())),
    Case("app-closes", "an app that resets tcp connections", well(DB, servers=(server(DB, app=Answer(ended="reset")),), answer=Answer(ended="closed"))),
    Case("app-closes", "an app that ends within its answer", well(servers=(server(app=Answer(status=200, spoke="http1", ended="closed")),), answer=replace(OK, ended="closed"))),
    Case("app-bad-http", "an app whose HTTP is wrong", well(servers=(server(app=Answer(spoke="http1", broken="illegal header line")),), **failing("upstream connect error or disconnect/reset before headers. reset reason: protocol error"))),
    Case("app-head", "an app that sends too many headers, or too long ones", well(servers=(server(app=Answer(status=200, spoke="http1", lines=203, size=4000)),), **failing("upstream connect error or disconnect/reset before headers. reset reason: protocol error"))),
    Case("app-hangs", "an app that hangs", well(servers=(server(app=Answer(timed_out=True, seconds=16)),), answer=Answer(timed_out=True, seconds=16))),
    Case("app-hangs", "an app that may be slow", well(servers=(server(app=Answer(timed_out=True, seconds=5)),), answer=Answer(timed_out=True, seconds=5)), Sure.LIKELY),
    Case(
        "request-timeout",
        "an app that is slower than the request timeout",
        well(replace(API, request_timeout=1), servers=(server(app=Answer(status=200, spoke="http1", seconds=2.2)),), answer=envoys_own(504, "upstream request timeout")),
    ),
    Case(
        "app-5xx",
        "an app that answers 5xx",
        well(servers=(server(app=Answer(status=500, spoke="http1", body="no ledger")),), answer=envoys_own(500, "no ledger", beyond=True)),
    ),
    # The call.
    Case("overflow", "a circuit breaker that is open", well(held=held(limits={"max_requests": 1}), answer=envoys_own(503, "upstream connect error or disconnect/reset before headers. reset reason: overflow"))),
    Case("fault-injected", "a fault that was set up", well(answer=envoys_own(503, "fault filter abort"))),
    Case("fault-injected", "a delay that was set up", well(held=held(delay=9), answer=Answer(timed_out=True, seconds=5)), Sure.LIKELY),
    Case("overflow", "calls that wait, since a circuit breaker allows no more connections", well(held=held(limits={"max_connections": 1}, stats={"upstream_rq_pending_active": 3}), answer=Answer(timed_out=True, seconds=5)), Sure.LIKELY),
    Case(
        "ejected",
        "endpoints that are ejected",
        well(held=held(hosts=(Host("10.88.0.1:8080", ejected=True),), stats={"outlier_detection.ejections_enforced_consecutive_5xx": 1})),
    ),
    Case("no-healthy-endpoint", "endpoints that are not healthy", well(held=held(hosts=(Host("10.88.0.1:8080", "DRAINING"),)), answer=envoys_own(503, "no healthy upstream")), Sure.LIKELY),
    Case("idle-timeout", "a call that is cut for want of bytes", well(replace(API, idle_timeout=5), answer=envoys_own(504, "stream timeout"))),
    Case("request-timeout", "an answer whose body takes longer than a call may", well(answer=replace(OK, ended="closed", seconds=15.1)), Sure.LIKELY),
    Case("cut", "an answer that is cut in its body", well(answer=replace(OK, ended="reset")), Sure.LIKELY),
    Case("external-unresolved", "an External whose name does not resolve", outside(replace(PAY, resolved=("api.example:443",)), held=held(PAY, hosts=()), answer=envoys_own(503, "no healthy upstream"))),
    Case("external-name", "an External whose certificate has another name", outside(replace(PAY, tls=ExternalTls(("api.example",), own_authorities=True)), {"ssl.fail_verify_san": 3})),
    Case("external-certificate", "an External whose certificate is not to be trusted", outside(replace(PAY, tls=TLS), {"ssl.fail_verify_error": 3})),
    Case("external-name", "an External of which two faults were counted", outside(replace(PAY, tls=TLS), {"ssl.fail_verify_error": 3, "ssl.fail_verify_san": 1}), Sure.LIKELY),
    Case("external-no-tls", "an External that speaks no TLS", outside(replace(PAY, tls=TLS), {"ssl.connection_error": 3})),
    Case("external-down", "an External where nobody listens", outside()),
    Case("external-down", "an External that does not answer", outside(stats={"upstream_cx_connect_timeout": 3})),
    Case("instance-down", "an address that was registered, and where nothing is", well(providers=(Provider("192.0.2.7:3306", ip="192.0.2.7", port=3306),), held=held(hosts=(Host("192.0.2.7:3306"),)), servers=(), answer=envoys_own(503, "upstream connect error or disconnect/reset before headers. reset reason: connection termination")), Sure.LIKELY),
    Case(
        "access-refused",
        "a caller that no AccessPolicy allows",
        well(access=Access("default/api", "api", False, "GET /", ("shop/api",), "", "{from: [{service: web}]}"), answer=envoys_own(403, "RBAC: access denied", beyond=True)),
    ),
    Case(
        "access-refused",
        "a caller that no AccessPolicy allows at a tcp port",
        well(DB, access=Access("default/db", "db", False, "", ("shop/db",), "", "{from: [{service: web}]}"), answer=Answer(ended="closed")),
    ),
    Case("access-behind", "a proxy that has not heard yet that the caller is allowed", well(access=Access("default/api", "api", True, "GET /", ("shop/api",), "shop/api[0]"), answer=envoys_own(403, "RBAC: access denied", beyond=True)), Sure.LIKELY),
    Case("app-grpc", "a gRPC app that fails", well(RPC, answer=replace(OK, headers={**OK.headers, "grpc-status": "14", "grpc-message": "no ledger"}))),
    Case("app-bad-http", "an answer that Envoy cannot read", well(**failing("upstream connect error or disconnect/reset before headers. reset reason: protocol error")), Sure.LIKELY),
    Case("unreachable", "an endpoint that cannot be reached", well(answer=envoys_own(503, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure")), Sure.LIKELY),
    Case("tcp-closed", "a tcp connection that is closed, for a cause that is not seen", well(DB, answer=Answer(ended="closed")), Sure.NO),
    Case("envoy-5xx", "Envoy answers for a cause that is not seen", well(answer=envoys_own(502, "")), Sure.LIKELY),
    Case("app-4xx", "an app that answers 4xx", well(target="http://api/nowhere", answer=replace(OK, status=404))),
    Case("works", "a body that goes on and on", well(answer=replace(OK, timed_out=True, seconds=5))),
    Case("works", "an alias whose calls go to several services", well(held=held(others=("svc/shop/api-next",)))),
    Case("works", "a tcp connection, on which nothing is said", well(DB)),
    Case("works", "nothing is wrong", well(held=held(stats={"upstream_rq_timeout": 12}))),
    Case("nothing-seen", "nothing is seen, and no call was made", well(answer=None), Sure.NO),
    Case("no-cause", "a call that fails for a cause that is not seen", well(answer=Answer(timed_out=True, seconds=5)), Sure.NO),
)  # fmt: skip
