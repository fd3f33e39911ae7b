"""Lesson 7: one of two copies fails: how long that hurts, what happens when all fail, and how a copy comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import orders_mesh
from tsunagu.lessons.steps import File, Run, Under, failed
from tsunagu.testing.load import NOT_SENT

if TYPE_CHECKING:
    from tsunagu.lessons.seen import Seen
    from tsunagu.testing import Report, Response

FAILURES_IN_A_ROW = 5
CONNECTIONS = 4
HALF = 100  # of the requests of the first scene
PYTHON = "import urllib.request as u; u.urlopen('http://127.0.0.1/fail?on={}', b'')"
QUICK = """
name: svc/lesson/orders
type: EDS
eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}
connect_timeout: 1s
common_lb_config: {update_merge_window: 0s}
outlier_detection:
  consecutive_5xx: 5
  interval: 0.2s
  base_ejection_time: 1s
  max_ejection_percent: 100
"""


def _fail(which: str, on: int) -> Run:
    return Run(f'tsunagu exec ${which} -- python3 -c "{PYTHON.format(on)}"')


def _who(answer: Response) -> str:
    return answer.text.split()[0]


def _kinds(seen: Seen, keep: str) -> set[str]:
    """The kinds of failures of a load."""
    return set(_report(seen, keep).failures) - {NOT_SENT}


def _report(seen: Seen, keep: str) -> Report:
    report: Report = seen.values[keep]
    return report


STATS = Run(
    "tsunagu envoy front '/stats?filter=orders.(outlier_detection.ejections_(active|enforced_total)|lb_healthy_panic)$$'",
    keep="stats",
)


def _stat(seen: Seen, name: str) -> int:
    for line in seen.values["stats"].splitlines():
        if line.partition(": ")[0].endswith(name):
            return int(line.rpartition(": ")[2])
    return -1


HOSTS = Run("tsunagu envoy front endpoints", keep="hosts")


def _failing(seen: Seen) -> int:
    """How many hosts of orders are ejected."""
    return sum("EJECTED" in line and "svc/lesson/orders" in line for line in seen.values["hosts"].splitlines())


LESSON = Lesson(
    title="A bad host: outlier detection, panic, and how long it hurts",
    rules=(),  # what an Envoy does by itself is no rule of the protocol
    stage=orders_mesh,
    sees="""
    So far the control plane has told Envoys which servers there are. Whether one of them *works* an Envoy finds out by
    itself, from the answers to real requests: five failures in a row, and it leaves that server out for a while. You will
    let one copy of `orders` fail, then both, and count what the callers notice.
    """,
    scenes=(
        Scene(
            "One of two",
            """
            From now on one copy answers every request with 500. It runs, its port listens, its task is healthy: the control
            plane has no reason to take it away. `front` sends 100 requests a second, to both in turn.
            """,
            question=Question(
                "the sick copy stays sick. Of 200 requests, how many fail?",
                (
                    Choice("About half: 100.", lambda seen: failed(_report(seen, "one")) > HALF // 2),
                    Choice(
                        "Five, or a few more that were under way.",
                        lambda seen: (
                            FAILURES_IN_A_ROW <= failed(_report(seen, "one")) <= FAILURES_IN_A_ROW + CONNECTIONS
                        ),
                    ),
                    Choice(
                        "None: each is tried again at the other copy.", lambda seen: not failed(_report(seen, "one"))
                    ),
                ),
                right="b",
                because="""
                Five failures in a row, and the Envoy *ejects* the host: it is still in the list, but gets no requests, for
                30 seconds at first. And nothing is tried again: a 500 is the word of the app, which may have done half of
                its work. Only what did not reach an app is tried again.
                """,
            ),
            steps=(
                _fail("one", 1),
                Under("one", (), before=200, after=0, connections=CONNECTIONS, label=_who),
                HOSTS,
                STATS,
            ),
            claims=(
                Claim("Every failure is the app's own 500.", lambda seen: _kinds(seen, "one") == {"500"}),
                Claim(
                    "One host is ejected, and still in the list.",
                    lambda seen: _stat(seen, "ejections_active") == 1 and _failing(seen) == 1,
                ),
                Claim("All answers came from the other copy.", lambda seen: len(_report(seen, "one").labels) == 1),
                Claim("The control plane had no part in it: there was no message.", lambda seen: not seen.messages),
            ),
            explained="""
            So a bad host hurts as long as five requests to it take: at 100 requests a second over two hosts a tenth of a
            second, at one request a minute ten minutes. And each Envoy finds out for itself: with 20 callers it is 20
            times five failures.
            """,
        ),
        Scene(
            "Both of two",
            """
            Now both copies fail. To see more in less time, we override the cluster: an ejection lasts one second in place of
            thirty, and all hosts may be ejected, where tsunagu's own limit is a tenth of them (but always one).
            """,
            given=(File("quick.yaml", QUICK),),
            question=Question(
                "all hosts fail, and all may be ejected. What do callers get then?",
                (
                    Choice(
                        "A 503 of the Envoy: there is no healthy host.",
                        lambda seen: "503" in _kinds(seen, "both"),
                    ),
                    Choice(
                        "The 500 of the hosts: the Envoy goes on calling them.",
                        lambda seen: _kinds(seen, "both") == {"500"},
                    ),
                ),
                right="b",
                because="""
                When less than half of the hosts are left, the Envoy **panics**: it no longer believes its own judgement, and
                calls all of them again. If everybody seems to be ill, it is more likely that the judge is wrong; and a few
                good answers are better than none.
                """,
            ),
            steps=(
                Run("tsunagu xds override lesson CDS svc/lesson/orders quick.yaml"),
                Run("tsunagu wait"),
                _fail("two", 1),
                Under("both", (), before=60, after=0, connections=CONNECTIONS),
                STATS,
            ),
            claims=(
                # Two more than in the part before: `ejections_active` may be less again, a second later.
                Claim("Both are ejected.", lambda seen: _stat(seen, "ejections_enforced_total") >= 3),
                Claim("Requests were sent in a panic.", lambda seen: _stat(seen, "lb_healthy_panic") > 0),
            ),
            explained="""
            The threshold of panic is 50 % of the hosts. It cuts both ways: in a small service one more sick copy undoes
            what the ejection of the first has won.
            """,
        ),
        Scene(
            "Back again",
            """
            One copy is mended. Nobody tells the Envoy.
            """,
            question=Question(
                "does the mended copy get requests again?",
                (
                    Choice(
                        "Yes, when its time is over.",
                        lambda seen: len(_report(seen, "back").labels) == 1,
                    ),
                    Choice(
                        "No: it is ejected until the endpoints change.",
                        lambda seen: not _report(seen, "back").succeeded,
                    ),
                ),
                right="a",
                because="""
                Each ejection ends by itself, after 1 second here (30 by default), times the number of its ejections so far. Then
                the host is called again, and if it still fails, five failures later it is out again, for longer.
                """,
            ),
            steps=(
                _fail("two", 0),
                Under("back", (), before=200, after=0, connections=CONNECTIONS, label=_who),
                STATS,
            ),
            claims=(Claim("It answered again.", lambda seen: _report(seen, "back").succeeded > HALF),),
        ),
    ),
    remember=(
        "Which hosts there are, the control plane says; whether they work, each Envoy finds out by itself.",
        "A bad host costs each caller five failures, not a share of all requests.",
        "An app's 500 is not tried again.",
        "With too few hosts left Envoy panics and calls all of them: ejection is no substitute for enough good hosts.",
    ),
)
