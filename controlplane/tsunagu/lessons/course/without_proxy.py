"""Lesson 9: a program that speaks xDS itself: what gRPC asks for, and in which words."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import greeter_mesh
from tsunagu.lessons.seen import in_order
from tsunagu.lessons.steps import Measure, Run, messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.lessons.mesh_stage import MeshStage
    from tsunagu.lessons.seen import Seen
    from tsunagu.v1.inspector_pb2 import TimelineEvent

TARGET = "greeter:50051"
CHAIN = ("LDS", "RDS", "CDS", "EDS")
COPIES, MORE = 2, 3


def _of_grpc(seen: Seen, kind: str = "", type_: str = "") -> list[TimelineEvent]:
    return [one for one in seen.all(kind, type_) if one.proxy.startswith("grpc/")]


def _types(seen: Seen) -> list[str]:
    """The types in the order in which the program asked for them first."""
    return list(dict.fromkeys(one.type for one in _of_grpc(seen, "subscribe")))


def _names(seen: Seen, type_: str) -> list[str]:
    return sorted({name for one in _of_grpc(seen, "subscribe", type_) for name in one.names})


def _heard(stage: MeshStage) -> Sequence[str]:
    return [line for line in stage.mesh.logs("caller") if line.startswith("first answer of")]


def _failed(stage: MeshStage) -> Sequence[str]:
    return [line for line in stage.mesh.logs("caller") if line.startswith("FAILED")]


def _heard_of(count: int) -> Measure:
    """Wait until the caller has had answers of so many copies."""
    return Measure(
        "heard", lambda stage: stage.mesh.wait_until(lambda: len(_heard(stage)) >= count and _heard(stage), 10)
    )


LESSON = Lesson(
    title="gRPC without a proxy",
    rules=(5, 13),
    stage=greeter_mesh,
    sees="""
    Envoy is not the only one that speaks xDS: gRPC's libraries do, too. A program that calls `xds:///greeter:50051` in place
    of `greeter:50051` asks the control plane itself, and needs no proxy to find, to choose and to try again.

    You will compare its questions with those of an Envoy (lesson 1).
    """,
    scenes=(
        Scene(
            "One name, followed",
            """
            `caller` is a Python program of a few lines: it calls `xds:///greeter:50051` all the time. Two copies of `greeter`
            answer. The environment variable `GRPC_XDS_BOOTSTRAP`, which every container here has, tells the library where
            the control plane is.
            """,
            back=True,
            question=Question(
                "in which order does the program ask?",
                (
                    Choice(
                        "As an Envoy: clusters, endpoints, listeners, routes.",
                        lambda seen: _types(seen) == ["CDS", "EDS", "LDS", "RDS"],
                    ),
                    Choice("Listener, route, cluster, endpoints.", lambda seen: _types(seen) == list(CHAIN)),
                    Choice(
                        "For the endpoints of `greeter` alone: it has no use for the rest.",
                        lambda seen: _types(seen) == ["EDS"],
                    ),
                ),
                right="b",
                because="""
                An Envoy opens a door to all that there is, and so begins at the far end. A program has one name in its
                hand and follows it: the listener of that name says which routes, the route which cluster, the cluster which
                endpoints.
                """,
            ),
            steps=(
                _heard_of(COPIES),
                Run("tsunagu logs caller"),
                messages("caller", programs=True),
            ),
            claims=(
                Claim(
                    "It asks for a listener called like the target, and for nothing else of that type.",
                    lambda seen: _names(seen, "LDS") == [TARGET],
                ),
                Claim(
                    "It never asks for all (`*`).",
                    lambda seen: not any("*" in one.names for one in _of_grpc(seen, "subscribe")),
                ),
                Claim(
                    "Each question comes of the answer before it.",
                    lambda seen: all(
                        in_order(_of_grpc(seen, "send", one)[0], _of_grpc(seen, "subscribe", other)[0])
                        for one, other in pairwise(CHAIN)
                    ),
                ),
                Claim("It speaks the older variant, SotW.", lambda seen: "sotw" in _of_grpc(seen, "connect")[0].detail),
            ),
            explained="""
            The listener is a curious one: nobody listens. It is an `api_listener`, a place where what belongs to the name
            can stand: routes, time limits, filters. No Envoy is sent it.
            """,
        ),
        Scene(
            "Endpoints move",
            "A third copy of `greeter` is started.",
            question=Question(
                "how does the running program learn of it?",
                (
                    Choice("By DNS, when it asks again.", lambda seen: not _of_grpc(seen, "send")),
                    Choice(
                        "It is sent the endpoints, on the stream that it has.",
                        lambda seen: {one.type for one in _of_grpc(seen, "send")} == {"EDS"},
                    ),
                    Choice("Not before its next start.", lambda seen: len(seen.values["heard"]) < MORE),
                ),
                right="b",
                because="The subscription is the same as an Envoy's, and so is the control plane behind it.",
            ),
            steps=(
                Run("tsunagu scale greeter=3"),
                Run("tsunagu wait --steady"),
                _heard_of(MORE),
                Run("tsunagu logs caller"),
                Measure("failed", _failed),
                messages("caller", programs=True),
            ),
            claims=(
                Claim("The new copy answered.", lambda seen: len(seen.values["heard"]) == MORE),
                Claim("Not one call has failed.", lambda seen: not seen.values["failed"]),
                Claim(
                    "Each change of the endpoints was sent and accepted.",
                    lambda seen: len(_of_grpc(seen, "ack", "EDS")) == len(_of_grpc(seen, "send", "EDS")) >= 1,
                ),
            ),
        ),
    ),
    remember=(
        "xDS is a protocol, not a part of Envoy: gRPC's libraries speak it themselves.",
        "Envoy asks for everything and begins with clusters; gRPC asks for one name and begins with its listener.",
        "gRPC knows no wildcard and speaks SotW.",
    ),
)
