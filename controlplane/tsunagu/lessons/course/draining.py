"""Lesson 8: a deployment, message by message: a copy leaves the endpoints of its callers long before it is told to end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import orders_mesh
from tsunagu.lessons.steps import Measure, Run, Under, failed, log
from tsunagu.model import ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.lessons.mesh_stage import MeshStage
    from tsunagu.lessons.seen import Seen
    from tsunagu.testing import Response

COPIES = 2
IDLE = 0.25  # s without a request before SIGTERM
_END = re.compile(r"SIGTERM at (?P<at>[\d.]+), (?P<idle>[\d.]+) s after the last request")


def _version(answer: Response) -> str:
    return "version " + answer.text.split()[-1]


def _ends(stage: MeshStage) -> Mapping[str, tuple[float, float]]:
    """Of each copy that was told to end: when (seconds since the epoch), and how long after its last request."""
    found = {}
    for task in stage.mesh.tasks("orders", stopped=True):
        for line in stage.mesh.logs(ids.task_id(task)):
            if match := _END.search(line):
                found[ids.task_id(task)] = (float(match["at"]), float(match["idle"]))
    return found


def _acks_before_first_end(seen: Seen) -> int:
    first = min(at for at, _ in seen.values["ends"].values())
    return sum(one.time.ToNanoseconds() / 1e9 < first for one in seen.all("ack", "EDS", proxy="front"))


def _after_signal(seen: Seen) -> bool:
    """Whether a copy left the endpoints only after it had been told to end."""
    return _acks_before_first_end(seen) < COPIES


LESSON = Lesson(
    title="Draining: a deployment, message by message",
    rules=(6, 8),
    stage=orders_mesh,
    sees="""
    A deployment replaces every copy of a service. Each old copy is asked to end (SIGTERM), and if a request is on its way to
    it at that moment, or some caller still believes that it is there, somebody gets an error. You will replace both copies
    of `orders` under load, and read from the messages in which order it was done.
    """,
    scenes=(
        Scene(
            "Two new, two old",
            """
            `--set orders/VERSION=2` gives the service another environment variable, and so a new revision: two new copies
            are started, two old ones stopped. 100 requests a second go on meanwhile.
            """,
            question=Question(
                "what is the Envoy of `front` sent during the deployment?",
                (
                    Choice(
                        "A new cluster for version 2, a route to it, and at the end the old cluster's removal.",
                        lambda seen: {"CDS", "RDS"} <= {one.type for one in seen.all("send", proxy="front")},
                    ),
                    Choice(
                        "Endpoints, several times, and nothing else.",
                        lambda seen: {one.type for one in seen.all("send", proxy="front")} == {"EDS"},
                    ),
                    Choice(
                        "Nothing: it finds out by itself who answers.", lambda seen: not seen.all("send", proxy="front")
                    ),
                ),
                right="b",
                because="""
                To callers a version is no more than other addresses behind the same name. The cluster stays, and with it its
                connections, its counters, and what it has learned about bad hosts.
                """,
            ),
            steps=(
                Under(
                    "load",
                    (
                        Run("tsunagu apply orders.yaml --set orders/VERSION=2"),
                        Run("tsunagu wait --steady"),
                    ),
                    label=_version,
                    after=60,
                ),
                log("front"),
            ),
            claims=(
                Claim(
                    "Both versions answered.",
                    lambda seen: set(seen.values["load"].labels) == {"version 1", "version 2"},
                ),
                Claim("Not one request failed.", lambda seen: not failed(seen.values["load"])),
                Claim(
                    "Each change of the endpoints was accepted.",
                    lambda seen: (
                        len(seen.all("ack", "EDS", proxy="front"))
                        == len(seen.all("send", "EDS", proxy="front"))
                        >= COPIES
                    ),
                ),
            ),
        ),
        Scene(
            "When an old copy is told to end",
            """
            The app of the lesson writes down when it gets SIGTERM, and how long ago its last request was. Here are the logs of
            the old copies, and again the messages of the deployment.
            """,
            back=True,
            question=Question(
                "when was the first of the old copies told to end?",
                (
                    Choice("At once; then it left the endpoints.", _after_signal),
                    Choice(
                        "After `front` had said that it no longer has its address, and after some quiet.",
                        lambda seen: not _after_signal(seen) and _idle(seen) >= IDLE,
                    ),
                    Choice(
                        "After `front` had said so, and in that moment.",
                        lambda seen: not _after_signal(seen) and _idle(seen) < IDLE,
                    ),
                ),
                right="b",
                because="""
                The ACK of the endpoints says that `front` will *start* no more requests to that address. Those that are under
                way go on, and one may have left a moment before; so the copy must have had no request for a quarter of a
                second before it is told anything.
                """,
            ),
            steps=(
                Measure("ends", _ends),
                Run("tsunagu logs orders --all"),
            ),
            claims=(
                Claim(
                    "Both old copies were told to end, each a quarter of a second or more after its last request.",
                    lambda seen: len(seen.values["ends"]) == COPIES and _idle(seen) >= IDLE,
                ),
                Claim(
                    "Before the first of them was told, `front` had accepted the endpoints of a new copy and then those without an old one.",
                    lambda seen: _acks_before_first_end(seen) >= COPIES,
                ),
            ),
            explained="""
            So for each old copy: a new one is there and listens; it joins the endpoints; the old one leaves them; *every* Envoy
            of the namespace has accepted that (a barrier over ACKs); nothing goes through the old one; SIGTERM. Its own
            Envoy goes last. Where a platform sends SIGTERM and takes away the endpoints at the same time, apps work around
            it with a `sleep` before they stop.
            """,
        ),
    ),
    remember=(
        "A deployment is a sequence of endpoints: nothing else changes for callers.",
        "A copy that is to stop leaves the endpoints first; the ACKs say when everybody knows.",
        "An ACK says that nothing new will start, not that everything has ended: so wait for quiet too.",
    ),
)


def _idle(seen: Seen) -> float:
    """The shortest time between the last request of a copy and its SIGTERM; seconds."""
    shortest: float = min(idle for _, idle in seen.values["ends"].values())
    return shortest
