"""Lesson 5: the control plane dies and comes back: what goes on without it, and what has to be said again."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import orders_mesh
from tsunagu.lessons.seen import in_order
from tsunagu.lessons.steps import Do, Measure, Run, Under, Until, Watch, failed, log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.lessons.mesh_stage import MeshStage
    from tsunagu.lessons.seen import Seen

ENVOYS = 3


def _versions(stage: MeshStage) -> Mapping[tuple[str, str, str], str]:
    """(proxy, type, name) -> the version that was sent last."""
    return {
        (one.proxy, one.type, name): version
        for one in stage.messages(0)
        if one.kind == "send"
        for name, version in one.versions.items()
    }


def all_back(seen: Seen, envoys: int = ENVOYS) -> bool:
    """Whether so many Envoys have asked for all four types, and have answered everything."""
    asked: dict[str, set[str]] = defaultdict(set)
    for one in seen.all("subscribe"):
        asked[one.proxy].add(one.type)
    complete = [proxy for proxy, types in asked.items() if len(types) == 4]
    return len(complete) == envoys and len(seen.all("send")) == len(seen.all("ack"))


def _sent_types(seen: Seen) -> set[str]:
    return {one.type for one in seen.all("send")}


def _same_versions(seen: Seen) -> bool:
    before = seen.values["versions"]
    return all(
        before[one.proxy, one.type, name] == version
        for one in seen.all("send")
        for name, version in one.versions.items()
    )


def _claimed(seen: Seen, type_: str) -> int:
    """How many versions `front` says that it has, in its first request of a type."""
    found = re.search(r"has (\d+) version", seen.first("subscribe", type_, proxy="front").detail)
    return int(found[1]) if found else 0


LESSON = Lesson(
    title="Reconnect: who has what",
    rules=(1, 12),
    stage=orders_mesh,
    sees="""
    Control planes are updated, restarted, and crash. You will kill one with SIGKILL while traffic goes through three Envoys
    that it has configured, and see how the next one finds out what each Envoy has: it starts with an empty memory.
    """,
    scenes=(
        Scene(
            "Without a control plane",
            """
            The process `serve` is the control plane of this mesh. It is killed under load, so it says goodbye to nobody;
            `tsunagu up` starts another.
            """,
            question=Question(
                "what do the Envoys do when their stream breaks off?",
                (
                    Choice("They go on with what they have.", lambda seen: not failed(seen.values["load"])),
                    Choice(
                        "They serve nothing until they know what is true.",
                        lambda seen: not seen.values["load"].succeeded,
                    ),
                    Choice(
                        "They drop the endpoints, for these may be wrong by now, and requests fail for a moment.",
                        lambda seen: failed(seen.values["load"]) > 0,
                    ),
                ),
                right="a",
                because="""
                An Envoy keeps its last configuration for as long as it has to, hours or weeks. A control plane is not in
                the way of the traffic; if it is away, nothing new happens, and that is all.
                """,
            ),
            steps=(
                Measure("versions", _versions),
                Under(
                    "load",
                    (
                        Do("SIGKILL for the control plane", lambda stage: stage.mesh.kill("serve"), anew=True),
                        Until(all_back, "all Envoys are back", seconds=20),
                    ),
                ),
            ),
            claims=(Claim("Not one request failed.", lambda seen: not failed(seen.values["load"])),),
        ),
        Scene(
            "What is said again",
            """
            Here are the messages of `front` and the new control plane, from their beginning. Compare with lesson 1: the new
            control plane has the same task, and knows as little of this Envoy as the first one did.
            """,
            back=True,
            question=Question(
                "which types is the Envoy sent now?",
                (
                    Choice(
                        "All four: the new control plane cannot know what the Envoy has.",
                        lambda seen: _sent_types(seen) == {"CDS", "EDS", "LDS", "RDS"},
                    ),
                    Choice("None: nothing has changed.", lambda seen: not _sent_types(seen)),
                    Choice("Endpoints alone.", lambda seen: _sent_types(seen) == {"EDS"}),
                ),
                right="c",
                because="""
                The Envoy says what it has: with each name, in the first request of each type, the version (*has 2
                versions*). The control plane compares with the versions of what it would send, and these are equal, for a version is a hash of the content
                and knows nothing of the process that made it. Endpoints it sends all the same: an Envoy may be waiting
                for them while a cluster *warms* (lesson 3), and would wait on if nothing came.
                """,
            ),
            steps=(log("front", wide=True),),
            claims=(
                Claim(
                    "No cluster, listener or route was sent again to any Envoy.",
                    lambda seen: _sent_types(seen) == {"EDS"},
                ),
                Claim("The versions are those that the first control plane had sent.", _same_versions),
                Claim(
                    "All types are asked for before anything is acknowledged; at the start one waited for the other.",
                    lambda seen: in_order(seen.all("subscribe", proxy="front")[-1], seen.first("ack", proxy="front")),
                ),
                Claim(
                    "It says how many versions it has: of two clusters, two listeners, one route configuration.",
                    lambda seen: [_claimed(seen, type_) for type_ in ("CDS", "LDS", "RDS")] == [2, 2, 1],
                ),
            ),
            explained="""
            Had the versions been counters ("version 17"), the new control plane would have had to send everything to everyone,
            all Envoys at the same time, just after a crash. With hashes a restart, a second replica and a copy on another
            machine all mean the same thing by the same version.
            """,
        ),
        Scene(
            "The same thing again",
            """
            One more thing follows from versions that are hashes. We apply the same manifests once more.
            """,
            question=Question(
                "what are the Envoys sent?",
                (
                    Choice("Everything that the manifests lead to, once more.", lambda seen: len(seen.all("send")) > 0),
                    Choice("Nothing.", lambda seen: not seen.all("send")),
                ),
                right="b",
                because="The same content has the same version, so everybody has it already.",
            ),
            steps=(Run("tsunagu apply orders.yaml"), Run("tsunagu wait"), Watch(1), log()),
            claims=(Claim("There is no message at all.", lambda seen: not seen.messages),),
        ),
    ),
    remember=(
        "Without a control plane Envoys go on with what they have.",
        "On a new stream an Envoy says what it has, name by name, version by version.",
        "Versions that are hashes of content mean the same on every control plane, so a restart sends next to nothing.",
        "Endpoints that are asked for on a new stream are answered in any case.",
    ),
)
