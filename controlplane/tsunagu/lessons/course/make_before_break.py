"""Lesson 4: the same change in two orders, under load: what is there must stay until what replaces it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import orders_mesh
from tsunagu.lessons.seen import in_order
from tsunagu.lessons.steps import File, Run, Under, Watch, failed, log
from tsunagu.testing.load import NOT_SENT

if TYPE_CHECKING:
    from tsunagu.lessons.lesson import Step
    from tsunagu.lessons.seen import Seen

GREEN = """
name: green
type: EDS
eds_cluster_config:
  service_name: svc/lesson/orders
  eds_config: {ads: {}, resource_api_version: V3}
connect_timeout: 1s
"""
TO_GREEN = """
name: alias/lesson/orders:80
virtual_hosts:
- name: everything
  domains: ["*"]
  routes:
  - match: {prefix: /}
    route: {cluster: green}
"""
ROUTE = "alias/lesson/orders:80"
CLUSTER_ON = Run("tsunagu xds override lesson CDS green green.yaml")
CLUSTER_OFF = Run("tsunagu xds override lesson CDS green --remove")
ROUTE_ON = Run(f"tsunagu xds override lesson RDS {ROUTE} to-green.yaml")
ROUTE_OFF = Run(f"tsunagu xds override lesson RDS {ROUTE} --remove")
ACKED = Run("tsunagu wait")
GAP = Watch(0.5)  # between two changes that belong together


def _load(*steps: Step) -> Under:
    return Under("load", steps)


def _failed(seen: Seen) -> int:
    return failed(seen.values["load"])


def _kinds(seen: Seen) -> set[str]:
    return set(seen.values["load"].failures) - {NOT_SENT}


def _nothing_refused(seen: Seen) -> bool:
    return not seen.all("nack")


LESSON = Lesson(
    title="Make before break",
    rules=(8,),
    stage=orders_mesh,
    sees="""
    A change often touches several types at once: a new cluster, and the route that leads to it. To an Envoy these are
    separate messages, and between two messages there is traffic. You will make one change in both orders, and count the
    requests that fail.
    """,
    scenes=(
        Scene(
            "The route first",
            """
            All requests to `orders` are to go to a new cluster, `green`. (It has the same servers, so whatever fails does not
            fail because of them: `service_name` says whose endpoints it has, and `ads: {}` to ask for them on the stream that
            there is.) That takes two things: the cluster, and a route to it.
            """,
            given=(File("green.yaml", GREEN), File("to-green.yaml", TO_GREEN)),
            question=Question(
                "the route to `green` is sent first, the cluster half a second later. What does the Envoy do with the route?",
                (
                    Choice("It refuses it: there is no such cluster.", lambda seen: bool(seen.all("nack", "RDS"))),
                    Choice(
                        "It accepts it, and keeps to the old route until the cluster is there.",
                        lambda seen: not seen.all("nack") and not _failed(seen),
                    ),
                    Choice(
                        "It accepts it, and requests fail until the cluster is there.",
                        lambda seen: not seen.all("nack") and _failed(seen) > 0,
                    ),
                ),
                right="c",
                because="""
                A route is only looked at when a request comes, so it may name a cluster that does not exist (yet). Until
                it does, the Envoy answers each request itself: 503. In its access log that is the flag `NC`, no cluster.
                """,
            ),
            steps=(
                _load(ROUTE_ON, GAP, CLUSTER_ON, ACKED),
                log("front"),
            ),
            claims=(
                Claim("Both were accepted: nothing in the messages shows that anything was wrong.", _nothing_refused),
                Claim("Every failed request is a 503.", lambda seen: _kinds(seen) == {"503"}),
                Claim(
                    "The route came before the cluster.",
                    lambda seen: in_order(
                        seen.first("ack", "RDS", proxy="front"), seen.first("send", "CDS", proxy="front", name="green")
                    ),
                ),
            ),
            explained="""
            A NACK would have been the better outcome. What ACKs cannot tell is whether resources *fit together*: each was
            right by itself.
            """,
        ),
        Scene(
            "The cluster goes first",
            """
            And back again: requests are to go where they went, and `green` is not needed any more. This time the cluster is
            taken away first, while the route still leads to it.
            """,
            question=Question(
                "what becomes of the requests?",
                (
                    Choice("They go to the old cluster, which was there all the time.", lambda seen: not _failed(seen)),
                    Choice("They fail until the route is changed.", lambda seen: _failed(seen) > 0),
                ),
                right="b",
                because="It is the same gap from the other end: a route to a cluster that is not there any more.",
            ),
            steps=(
                _load(CLUSTER_OFF, GAP, ROUTE_OFF, ACKED),
                log("front"),
            ),
            claims=(
                Claim("Every failed request is a 503.", lambda seen: _kinds(seen) == {"503"}),
                Claim("Both changes were accepted.", _nothing_refused),
            ),
        ),
        Scene(
            "In order",
            """
            Now the same change, and its way back, in the right order: first what is new, and once that is accepted, the route;
            then back, and only what nothing leads to any more is taken away.
            """,
            question=Question(
                "how many requests fail now?",
                (
                    Choice("None.", lambda seen: not _failed(seen)),
                    Choice("A few, at the moment of each switch.", lambda seen: _failed(seen) > 0),
                ),
                right="a",
                because="""
                At no moment did a route lead to something that was not there. A request that is under way when the route
                changes ends where it began.
                """,
            ),
            steps=(
                _load(CLUSTER_ON, ACKED, ROUTE_ON, ACKED, ROUTE_OFF, ACKED, CLUSTER_OFF, ACKED),
                log("front"),
            ),
            claims=(
                Claim(
                    "The cluster was accepted, with its endpoints, before the route to it was sent.",
                    lambda seen: in_order(
                        seen.first("send", "CDS", proxy="front", name="green"),
                        seen.first("ack", "CDS", proxy="front"),
                        seen.first("send", "RDS", proxy="front", name=ROUTE),
                    ),
                ),
                Claim(
                    "The last message to take something away is the one about the cluster.",
                    lambda seen: seen.all("send", proxy="front")[-1].type == "CDS",
                ),
            ),
            explained="""
            This is *make before break*: clusters, their endpoints, then listeners and routes; and what is to go, goes last,
            in the opposite order. You did it by hand, because `override` takes one resource at a time. When one change of
            the registry touches several types, the control plane sends them in that order by itself, and waits for ACKs
            in between. That works on one stream for all types (ADS): on several streams there is no order between them.
            """,
        ),
    ),
    remember=(
        "ACKs say that each resource is right, not that they fit together.",
        "A route to a cluster that is not there is a 503, and no NACK.",
        "Add from the far end (clusters, endpoints, listeners, routes), take away from the near end.",
        "Order between types exists on one stream only, which is why ADS exists.",
    ),
)
