"""Lesson 3: a cluster that is sent and whose endpoints are kept back: what the Envoy waits for, and what waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.client.connection import short
from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import orders_mesh
from tsunagu.lessons.seen import in_order
from tsunagu.lessons.steps import File, Measure, Run, Under, failed, log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.lessons.seen import Seen
    from tsunagu.v1.inspector_pb2 import TimelineEvent

ORDERS = "svc/lesson/orders"
SLOWER = """
name: svc/lesson/orders
type: EDS
eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 15s}}
connect_timeout: 2s
"""


def _sent_unasked(seen: Seen) -> bool:
    return not seen.all("subscribe", "EDS", proxy="front") and bool(seen.all("send", "EDS", proxy="front", name=ORDERS))


def _version_of(messages: Sequence[TimelineEvent]) -> str:
    """The version in which `front` was sent the endpoints of orders last."""
    sent = [
        one for one in messages if one.kind == "send" and one.type == "EDS" and short(one.proxy).startswith("front")
    ]
    return str(sent[-1].versions[ORDERS])


LESSON = Lesson(
    title="Warming: a cluster without endpoints, and who waits for it",
    rules=(8, 12),
    stage=orders_mesh,
    sees="""
    A cluster that has just been sent has no servers yet: its endpoints are another type, and come in another message. Were
    it used at once, the first requests would fail. So an Envoy lets it **warm**: it is there, and waits.
    """,
    scenes=(
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
                To an Envoy a changed cluster is a new one that takes the old one's place, and it warms like any other. In delta
                the Envoy does not ask, for it has never let go of the name. A control plane that reasons "it has these
                endpoints" stops the cluster for 15 seconds.
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
