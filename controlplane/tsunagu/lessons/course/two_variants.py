"""Lesson 6: the two variants of xDS, side by side on the same changes; wildcards and names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.lessons.bench_stage import two_envoys
from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.seen import in_order
from tsunagu.lessons.steps import Do, File, Run, messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.lessons.seen import Seen

SERVICES = 20
CLUSTER = "- {{name: {0}, type: EDS, eds_cluster_config: {{eds_config: {{ads: {{}}, resource_api_version: V3}}}}}}"
ENDPOINTS = """
- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: {0}
  endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {1}}}}}}}}}]}}]
"""


def _names(count: int = SERVICES) -> list[str]:
    return [f"s{number:02}" for number in range(1, count + 1)]


def _clusters(names: Sequence[str]) -> str:
    return "clusters:\n" + "\n".join(CLUSTER.format(name) for name in names)


def _endpoints(names: Sequence[str], port: int) -> str:
    return "resources:\n" + "".join(ENDPOINTS.format(name, port).lstrip("\n") for name in names)


def _settled(stage: object) -> None:
    stage.converged("sotw", "delta")  # type: ignore[attr-defined]


def _sent(seen: Seen, proxy: str, type_: str) -> list[str]:
    """The names in the one response of a type."""
    return list(seen.one("send", type_, proxy=proxy).names)


def _named(seen: Seen) -> set[str]:
    """Who asks for endpoints by twenty names."""
    return {one.proxy for one in seen.all("subscribe", "EDS") if len(one.names) + one.more == SERVICES}


def _counts(seen: Seen, type_: str) -> tuple[int, int]:
    """How many resources the one response of a type has, for `sotw` and for `delta`."""
    return len(_sent(seen, "sotw", type_)), len(_sent(seen, "delta", type_))


def _asked_for_s21(seen: Seen) -> bool:
    return all(
        in_order(
            seen.first("send", "CDS", proxy=proxy),
            seen.first("subscribe", "EDS", proxy=proxy, name="s21"),
            seen.first("ack", "CDS", proxy=proxy),
        )
        for proxy in ("sotw", "delta")
    )


def _let_go(seen: Seen) -> bool:
    return {one.proxy for one in seen.all("subscribe", "EDS") if "s21" in one.removed} == {"sotw", "delta"}


SETTLED = Do("", _settled)

LESSON = Lesson(
    title="Wildcards and names, and the two variants of xDS",
    rules=(5, 6, 7),
    stage=two_envoys,
    sees="""
    xDS comes in two variants, and you will meet both. In **SotW**, "state of the world", each message says everything: a
    request all that is wanted, a response all that there is. In **delta** messages speak of differences.

    Here are two Envoys, `sotw` and `delta`, on one small control plane, written with tsunagu's library: `server.put` adds
    resources or changes them, `server.remove` takes them away. Both Envoys see the same changes; compare what they are
    sent. In the log a line with `==` is no message, but the change itself.
    """,
    scenes=(
        Scene(
            "Twenty services",
            """
            The control plane gets twenty clusters, `s01` to `s20`, each with endpoints of its own.
            """,
            given=(
                File("clusters.yaml", _clusters(_names()), lines=3),
                File("endpoints.yaml", _endpoints(_names(), 8001), lines=4),
            ),
            question=Question(
                "both Envoys want all clusters, and ask for them with `*`. Which of them asks for endpoints by twenty names?",
                (
                    Choice("`sotw`: in it every message says everything.", lambda seen: _named(seen) == {"sotw"}),
                    Choice("`delta`: it subscribes to each name.", lambda seen: _named(seen) == {"delta"}),
                    Choice("Both: endpoints have no `*`.", lambda seen: _named(seen) == {"sotw", "delta"}),
                ),
                right="c",
                because="""
                The wildcard is for what has no parent: clusters and listeners. Endpoints belong to clusters and routes to
                listeners, so an Envoy knows the names, and asks for these alone. It may well not want all that there are.
                """,
            ),
            steps=(
                Run("server.put(*resources_from('clusters.yaml'), *resources_from('endpoints.yaml'))"),
                SETTLED,
                messages(),
            ),
            claims=(
                Claim(
                    "Both are sent the twenty clusters in one response.",
                    lambda seen: len(_sent(seen, "sotw", "CDS")) == len(_sent(seen, "delta", "CDS")) == SERVICES,
                ),
                Claim(
                    "Neither has said `*` again, or any name of a cluster: the wildcard of the first request goes on.",
                    lambda seen: not seen.all("subscribe", "CDS"),
                ),
            ),
            explained="""
            Envoy writes the wildcard as an *empty list* of names in its first request of a type, the form of old; shown here as
            `*`, which is what newer clients may write in words. A program that uses gRPC without a proxy never asks for all
            (lesson 9).
            """,
        ),
        Scene(
            "One cluster more",
            "A twenty-first service comes.",
            given=(
                File("more.yaml", _clusters(["s21"]) + "\n"),
                File("more-endpoints.yaml", _endpoints(["s21"], 8001)),
            ),
            question=Question(
                "how many clusters is each of the two sent?",
                (
                    Choice("One, both: the others have not changed.", lambda seen: _counts(seen, "CDS") == (1, 1)),
                    Choice("`sotw` 21 and `delta` 1.", lambda seen: _counts(seen, "CDS") == (SERVICES + 1, 1)),
                    Choice("21, both.", lambda seen: _counts(seen, "CDS") == (SERVICES + 1, SERVICES + 1)),
                ),
                right="b",
                because="""
                In SotW a response for clusters *is* the state of the world: what is not in it does not exist. So all of it
                must be in it each time.
                """,
            ),
            steps=(
                Run("server.put(*resources_from('more.yaml'), *resources_from('more-endpoints.yaml'))"),
                SETTLED,
                messages("sotw"),
                messages("delta"),
            ),
            claims=(
                Claim(
                    "The response for `sotw` has more than five times the bytes.",
                    lambda seen: (
                        seen.one("send", "CDS", proxy="sotw").bytes > 5 * seen.one("send", "CDS", proxy="delta").bytes
                    ),
                ),
                Claim("Both ask for the endpoints of `s21`, before they accept the cluster.", _asked_for_s21),
            ),
            explained="""
            The requests differ in the same way, though a timeline that shows what is *new* in a request hides it: `sotw` asks
            for endpoints by a list of 21 names, `delta` by the one that it lacks. With thousands of services this is
            what makes delta worth its trouble.
            """,
        ),
        Scene(
            "Other endpoints",
            "The servers of one service have moved to another port.",
            given=(File("moved.yaml", _endpoints(["s03"], 8002)),),
            question=Question(
                "how many lists of endpoints is each of the two sent?",
                (
                    Choice(
                        "`sotw` 21 and `delta` 1, as with the clusters.",
                        lambda seen: _counts(seen, "EDS") == (SERVICES + 1, 1),
                    ),
                    Choice("One, both.", lambda seen: _counts(seen, "EDS") == (1, 1)),
                ),
                right="b",
                because="""
                For endpoints a SotW response is *not* the state of the world: what it leaves out stays as it is. The rule
                differs from type to type: clusters and listeners are whole, routes, endpoints and secrets are not.
                """,
            ),
            steps=(Run("server.put(*resources_from('moved.yaml'))"), SETTLED, messages()),
            claims=(
                Claim(
                    "Nothing but endpoints was sent.", lambda seen: {one.type for one in seen.all("send")} == {"EDS"}
                ),
            ),
        ),
        Scene(
            "One cluster less",
            "The twenty-first service goes again, its cluster and its endpoints.",
            question=Question(
                "what is in the responses for clusters that the two are sent?",
                (
                    Choice(
                        "In both the name `s21`, as one that is to go.", lambda seen: _counts(seen, "CDS") == (0, 0)
                    ),
                    Choice(
                        "For `delta` that name; for `sotw` the other twenty clusters.",
                        lambda seen: _counts(seen, "CDS") == (SERVICES, 0),
                    ),
                    Choice(
                        "For both the other twenty clusters.", lambda seen: _counts(seen, "CDS") == (SERVICES, SERVICES)
                    ),
                ),
                right="b",
                because="""
                SotW has no word for "gone": what is left out is gone. (The timeline writes *without s21* in both lines, for that
                is what the control plane means by it.) And that is why a control plane which has just started and knows
                nothing yet must not answer: it would delete everything.
                """,
            ),
            steps=(
                Run("server.remove('CDS', 's21')\nserver.remove('EDS', 's21')"),
                SETTLED,
                messages("sotw"),
                messages("delta"),
            ),
            claims=(
                Claim("Both let go of the endpoints of `s21` by themselves: they are asked for no more.", _let_go),
                Claim(
                    "Nobody is told that the endpoints are gone: they go with their cluster.",
                    lambda seen: not [one for one in seen.all("send", "EDS") if one.removed],
                ),
            ),
            explained="""
            The removal of the endpoints *waits* in the control plane: sent before the cluster has gone, it would empty a cluster to
            which requests may still go. And once the cluster has gone nobody asks for them, so there is nothing left to say.
            """,
        ),
    ),
    remember=(
        "SotW repeats everything, delta says what is different.",
        "Clusters and listeners: all (`*`). Endpoints and routes: by name.",
        "In SotW a cluster goes by being left out; endpoints that are left out stay.",
        "Order, nonces, ACK and NACK are the same in both.",
    ),
)
