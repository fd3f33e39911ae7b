"""Lesson 3: a cluster that is sent and whose endpoints are kept back: what the Envoy waits for, and what waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.client.connection import short
from tsunagu.lessons.course.refused import MENDED
from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import orders_mesh
from tsunagu.lessons.seen import in_order
from tsunagu.lessons.shown import LessonFailed
from tsunagu.lessons.steps import File, Measure, Run, Under, Until, explain, failed, log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.lessons.seen import Seen
    from tsunagu.v1.inspector_pb2 import TimelineEvent

HELD = 2  # s
ORDERS = "svc/lesson/orders"
LATE = """
name: late
type: EDS
eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 15s}}
connect_timeout: 1s
"""
LATER = LATE.replace("connect_timeout: 1s", "connect_timeout: 2s")
FIXED = """
name: fixed
type: STATIC
connect_timeout: 1s
"""
SLOWER = """
name: svc/lesson/orders
type: EDS
eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 15s}}
connect_timeout: 2s
"""


def _answer_to(seen: Seen, name: str) -> TimelineEvent:
    """The answer of `front` to the response that brought a cluster."""
    nonce = seen.first("send", "CDS", proxy="front", name=name).nonce
    found = [one for one in seen.all(type="CDS", proxy="front") if one.kind in ("ack", "nack") and one.nonce == nonce]
    if not found:
        raise LessonFailed(f"no answer to the cluster {name!r}; there are:\n{seen.story()}")
    return found[0]


def _endpoints(seen: Seen) -> TimelineEvent:
    """The response with the endpoints of `late`."""
    return seen.first("send", "EDS", proxy="front", name="late")


def _seconds(one: TimelineEvent, other: TimelineEvent) -> float:
    """The time from one event to another."""
    return (other.time.ToNanoseconds() - one.time.ToNanoseconds()) / 1e9


def _states(seen: Seen, cluster: str) -> str:
    """The states of a cluster in Envoy's table of clusters: a changed one has two."""
    rows = [line.split() for line in seen.values["clusters"].splitlines()]
    return " ".join(sorted(row[2] for row in rows if row and row[0] == cluster))


def _sent_unasked(seen: Seen) -> bool:
    return not seen.all("subscribe", "EDS", proxy="front") and bool(seen.all("send", "EDS", proxy="front", name=ORDERS))


def _version_of(messages: Sequence[TimelineEvent]) -> str:
    """The version in which `front` was sent the endpoints of orders last."""
    sent = [one for one in messages if (one.kind, one.type) == ("send", "EDS") and ORDERS in one.names]
    return str([one for one in sent if short(one.proxy).startswith("front")][-1].versions[ORDERS])


LESSON = Lesson(
    title="Warming: a cluster without endpoints, and who waits for it",
    rules=(8, 12),
    stage=orders_mesh,
    sees="""
    A cluster that has just been sent has no servers yet: its endpoints are another type, and come in another message. Were
    it used at once, the first requests would fail. So an Envoy lets it **warm**: it is there, and waits.

    `tsunagu xds hold` keeps back what a proxy would be sent of one type. With it you can look at this moment for as long as
    you like; without, it is over in a millisecond.
    """,
    scenes=(
        Scene(
            "The ACK that does not come",
            f"""
            For {HELD} seconds `front` is not sent any endpoints. In that time it is sent a new cluster, `late`, and the Envoy
            will ask for its endpoints. (`initial_fetch_timeout` says how long it is to wait for them.) In the log a line with `..`
            is no message: it says what the control plane keeps back, and why.
            """,
            given=(File("late.yaml", LATE),),
            question=Question(
                "when does the Envoy say that it has accepted the cluster?",
                (
                    Choice(
                        "At once: there is nothing wrong with it.",
                        lambda seen: in_order(_answer_to(seen, "late"), _endpoints(seen)),
                    ),
                    Choice(
                        "Not before it has the endpoints.",
                        lambda seen: (
                            in_order(_endpoints(seen), _answer_to(seen, "late"))
                            and _answer_to(seen, "late").kind == "ack"
                        ),
                    ),
                    Choice("Not at all: it refuses a cluster without endpoints.", lambda seen: bool(seen.all("nack"))),
                ),
                right="b",
                because="""
                For an Envoy "accepted" means "in use", and a cluster is in use when it is warm. The control plane must not take
                the missing ACK for a reason to wait: if it sent endpoints only after the ACK of the clusters, both would wait
                for each other, until the Envoy gives up after 15 seconds.
                """,
            ),
            steps=(
                Run(f"tsunagu xds hold front EDS --for {HELD}s"),
                Run("tsunagu xds override lesson CDS late late.yaml"),
                Until(
                    lambda seen: seen.all("subscribe", "EDS", proxy="front", name="late"), "a request for the endpoints"
                ),
                Run("tsunagu envoy front '/stats?filter=cluster_manager.warming_clusters'", keep="warming"),
                Run("tsunagu wait"),
                log("front"),
            ),
            claims=(
                Claim(
                    "Meanwhile the Envoy counts one cluster that warms.",
                    lambda seen: "warming_clusters: 1" in seen.values["warming"],
                ),
                Claim(
                    "It asks for the endpoints before it accepts the cluster.",
                    lambda seen: in_order(
                        seen.first("send", "CDS", proxy="front", name="late"),
                        seen.first("subscribe", "EDS", proxy="front", name="late"),
                        _answer_to(seen, "late"),
                    ),
                ),
                Claim(
                    "The endpoints waited until the hold was over.",
                    lambda seen: _seconds(seen.first("hold", "EDS", proxy="front"), _endpoints(seen)) > HELD * 0.9,
                ),
            ),
            explained="""
            There are no servers for `late`, and still the Envoy is sent something: an assignment *without endpoints*. "There are
            none" is an answer, and ends the warming; silence is none.
            """,
        ),
        Scene(
            "What waits behind it",
            f"""
            Once more no endpoints for {HELD} seconds, and `late` changes, so it warms again. Now two more things come: `fixed`, a
            cluster that needs no endpoints over EDS, and a listener, `extra`, that leads to `orders`.
            """,
            given=(File("later.yaml", LATER), File("fixed.yaml", FIXED), File("extra.yaml", MENDED)),
            question=Question(
                "the Envoy is sent `fixed` at once, and it lacks nothing. When does its ACK come?",
                (
                    Choice("At once.", lambda seen: in_order(_answer_to(seen, "fixed"), _endpoints(seen))),
                    Choice("With that of `late`.", lambda seen: in_order(_endpoints(seen), _answer_to(seen, "fixed"))),
                ),
                right="b",
                because="""
                While one cluster warms, the Envoy keeps back its answer for *all* clusters. `fixed` is in use long before that; a
                missing ACK does not say what the Envoy does, only that it has not said so.
                """,
            ),
            steps=(
                Under(
                    "load",
                    (
                        Run(f"tsunagu xds hold front EDS --for {HELD}s"),
                        Run("tsunagu xds override lesson CDS late later.yaml"),
                        Run("tsunagu xds override lesson CDS fixed fixed.yaml"),
                        Run("tsunagu xds override lesson LDS extra extra.yaml"),
                        Run("tsunagu envoy front clusters", keep="clusters"),
                        Run("tsunagu wait"),
                    ),
                ),
                log("front"),
                explain("front"),
            ),
            claims=(
                Claim(
                    "`fixed` was in use meanwhile. `late` stands twice: as it was, in use, and as it is to be, warming.",
                    lambda seen: (_states(seen, "fixed"), _states(seen, "late")) == ("active", "active warming"),
                ),
                Claim(
                    "The listener was held back by the control plane, for a second at most: clusters come before what leads to "
                    "them.",
                    lambda seen: in_order(
                        seen.first("send", "CDS", proxy="front", name="fixed"),
                        seen.first("defer", "LDS", proxy="front", name="extra"),
                        seen.first("send", "LDS", proxy="front", name="extra"),
                        _endpoints(seen),
                    ),
                ),
                Claim("No request to `orders` failed.", lambda seen: not failed(seen.values["load"])),
            ),
            explained="""
            That the listener waits is a rule of this control plane, not of Envoy: a listener that is there before the cluster
            to which it leads has connections that lead nowhere. But it waits for a second only, for nobody knows what a cluster
            is waiting for, and whether it will ever come.
            """,
        ),
        Scene(
            "A cluster that changes",
            """
            The cluster of `orders` exists, and its servers are known. Now one number in it changes: how long a connection may
            take. The endpoints stay exactly as they are.
            """,
            given=(File("slower.yaml", SLOWER),),
            question=Question(
                "what is `front` sent besides the changed cluster?",
                (
                    Choice("Nothing: it has the endpoints.", lambda seen: not seen.all("send", "EDS", proxy="front")),
                    Choice(
                        "The endpoints, because it asks for them again.",
                        lambda seen: bool(seen.all("subscribe", "EDS", proxy="front")),
                    ),
                    Choice("The endpoints, although it does not ask.", _sent_unasked),
                ),
                right="c",
                because="""
                To an Envoy a changed cluster is a new one that takes the old one's place, and it warms like any other. In delta,
                the variant of xDS that these Envoys speak (lesson 6), it does not ask, for it has never let go of the
                name. A control plane that reasons "it has these
                endpoints" leaves the changed cluster warming for 15 seconds; until then the old one serves, and the change
                has no effect.
                """,
            ),
            steps=(
                Measure("before", lambda stage: _version_of(stage.messages(0))),
                Under(
                    "load",
                    (Run("tsunagu xds override lesson CDS svc/lesson/orders slower.yaml"), Run("tsunagu wait")),
                ),
                log("front", wide=True),
            ),
            claims=(
                Claim(
                    "They are sent in the version that the Envoy has already.",
                    lambda seen: seen.one("send", "EDS", proxy="front").versions[ORDERS] == seen.values["before"],
                ),
                Claim(
                    "The cluster is accepted after the endpoints were sent.",
                    lambda seen: in_order(
                        seen.one("send", "CDS", proxy="front"),
                        seen.one("send", "EDS", proxy="front"),
                        seen.one("ack", "CDS", proxy="front"),
                    ),
                ),
                Claim(
                    "No request failed: the old cluster served until the new one was warm.",
                    lambda seen: not failed(seen.values["load"]),
                ),
            ),
        ),
    ),
    remember=(
        "A new cluster warms until it has its endpoints; its ACK comes only then.",
        "Whoever waits for that ACK before sending endpoints waits for ever (or 15 s).",
        "A changed cluster warms, too, and needs its endpoints again, unasked.",
        "Meanwhile traffic goes on over what was there before.",
    ),
)
