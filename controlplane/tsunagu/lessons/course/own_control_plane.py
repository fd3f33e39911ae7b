"""Lesson 10: a control plane of 40 lines, a real Envoy on it, and an exercise that is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsunagu.lessons.envoy_process import wait_for
from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.marking import TASKS, marked_on
from tsunagu.lessons.shown import Shown
from tsunagu.lessons.steps import Do, Measure
from tsunagu.lessons.workshop_stage import EXERCISE, workshop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.lessons.lesson import Step
    from tsunagu.lessons.seen import Seen
    from tsunagu.lessons.stage import Stage
    from tsunagu.lessons.workshop_stage import WorkshopStage

LINES = 40


def _program(_stage: Stage, _seen: Seen) -> Sequence[Shown]:
    names = ("control_plane.py", "edge.yaml")
    texts = [(EXERCISE / name).read_text(encoding="utf-8").rstrip("\n") for name in names]
    return [
        Shown(name, text, "python" if name.endswith(".py") else "yaml") for name, text in zip(names, texts, strict=True)
    ]


def _until_said(text: str) -> Step:
    return Do("", lambda stage: wait_for(lambda: text in stage.output(), f"{text!r} in the output of the program"))


def _asked(keep: str) -> Measure:
    def show(found: Any) -> Sequence[Shown]:
        answers = ", ".join(f"{count} x {name or 'nobody'}" for name, count in sorted(found.items()))
        return [Shown(f"(20 new connections: {answers})")]

    return Measure(keep, lambda stage: stage.asked(), show)


def _output(keep: str) -> Measure:
    return Measure(
        keep, lambda stage: stage.output(), lambda text: [Shown("(what the program has printed)", text.rstrip())]
    )


def _tasks(stage: WorkshopStage) -> Sequence[Any]:
    return list(marked_on(stage))


def _show_marks(marks: Any) -> Sequence[Shown]:
    lines = [f"{'✗' if one.wrong else '✓'} {one.task}" for one in marks]
    return [Shown("$ tsunagu lesson 10 --mark control_plane.py", "\n".join(lines))]


def _begin(stage: WorkshopStage) -> None:
    stage.write("one", "two")
    stage.start()


def _first_eds(seen: Seen) -> str:
    return next((line for line in _lines(seen, "output") if line.startswith("my-envoy") and " EDS" in line), "")


def _lines(seen: Seen, keep: str) -> list[str]:
    return [line.strip() for line in str(seen.values[keep]).splitlines()]


LESSON = Lesson(
    title="Your own control plane in 40 lines",
    rules=(1, 2, 12),
    stage=workshop,
    sees="""
    What stands between a control plane and an Envoy is all in a library; what is left for you is to say what there should
    be. Here is a whole control plane: its registry is a text file, and an Envoy's port leads to the servers in it.

    You will run it, break it, and then teach it something. A real Envoy marks what you did.
    """,
    scenes=(
        Scene(
            "Forty lines",
            """
            `XdsServer` answers Envoys; `put` says what there is to be. What does not change stands in `edge.yaml`, by Envoy's
            own names. The function `endpoints` makes an assignment of the file, and `follow` puts it again when the file
            has changed. What it prints are messages, with the name of the client; `here` is what the program itself has put.
            """,
            given=(_program,),
            question=Question(
                "the file names two servers, `one` and `two`. An Envoy is started. What does the program print first about this Envoy's endpoints?",
                (
                    Choice(
                        "`send EDS app`: it sends them as soon as the Envoy is there.",
                        lambda seen: _first_eds(seen).startswith("my-envoy send"),
                    ),
                    Choice(
                        "`subscribe EDS app`: the Envoy asks.",
                        lambda seen: _first_eds(seen).startswith("my-envoy subscribe"),
                    ),
                ),
                right="b",
                because="The Envoy asks for the endpoints of a cluster when it has been sent the cluster, as in lesson 1.",
            ),
            steps=(
                Do("the file has the addresses of two servers; the program is started, and an Envoy", _begin),
                _until_said("ack LDS"),
                _output("output"),
                Do("", lambda stage: wait_for(stage.ask, "an Envoy that leads somewhere")),
                _asked("asked"),
            ),
            claims=(
                Claim(
                    "The program has at most 40 lines.",
                    lambda _: len((EXERCISE / "control_plane.py").read_text(encoding="utf-8").splitlines()) <= LINES,
                ),
                Claim("Both servers answer.", lambda seen: set(seen.values["asked"]) == {"one", "two"}),
            ),
        ),
        Scene(
            "A mistake in the file",
            """
            Two mistakes, one after the other. First a line which is no server at all: the program notices. Then one that looks
            like a server and has a name in place of an address, `nowhere:80`: the program passes it on.
            """,
            question=Question(
                "to which servers do connections lead after both mistakes?",
                (
                    Choice("To none: the assignment was wrong.", lambda seen: set(seen.values["asked"]) == {""}),
                    Choice("To both, as before.", lambda seen: set(seen.values["asked"]) == {"one", "two"}),
                ),
                right="b",
                because="""
                The first mistake never left the program, the second was refused by the Envoy: NACK, and what it had before
                stays (lesson 2). In both cases somebody has to be told; `print` is enough here.
                """,
            ),
            steps=(
                Do("the file has a line 'no server'", lambda stage: stage.write("one", "no server")),
                _until_said("is not HOST:PORT"),
                Do("the file has the line 'nowhere:80'", lambda stage: stage.write("nowhere:80")),
                _until_said("nack EDS app"),
                _output("output"),
                _asked("asked"),
            ),
            claims=(
                Claim(
                    "The refusal says which address is wrong.",
                    lambda seen: any("nack EDS app" in line and "nowhere" in line for line in _lines(seen, "output")),
                ),
            ),
        ),
        Scene(
            "The exercise",
            """
            **Teach it to drain.** A line may begin with `-`: that server is to get no new connections, but Envoy is still to
            know it, so that what runs there may end. xDS has a word for it: beside its `endpoint`, an entry of an assignment has
            a `health_status`, and one of its values is `DRAINING`, the number 3.

            `tsunagu lesson 10 --exercise FOLDER` writes the program and what belongs to it into a folder of your own. When you
            think that it is done, `tsunagu lesson 10 --mark FOLDER/control_plane.py` runs it with a real Envoy. This is how the
            program is marked as it is now.
            """,
            steps=(Measure("marks", _tasks, _show_marks),),
            claims=(
                Claim(
                    "As it is, it does all but the two things that are the exercise.",
                    lambda seen: [bool(one.wrong) for one in seen.values["marks"]] == [task.exercise for task in TASKS],
                ),
            ),
        ),
    ),
    remember=(
        "A control plane is a function of some source of truth to resources; the protocol is the library's.",
        "Check what you put, keep the last good state, and show refusals to somebody.",
        "Put the first state before the first Envoy connects: what is not there is told to be absent.",
    ),
)
