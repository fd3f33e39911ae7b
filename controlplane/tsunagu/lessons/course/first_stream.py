"""Lesson 1: what an Envoy that knows nothing asks for, in which order, and what it takes to change one thing later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import bare_mesh
from tsunagu.lessons.seen import in_order
from tsunagu.lessons.steps import Run, log, show

if TYPE_CHECKING:
    from tsunagu.lessons.seen import Seen

ORDERS = "svc/lesson/orders"
COPIES = 2
ADDRESS = "address: 10.88."
LISTENER = "alias/lesson/orders:80"
ASKS = ("CDS", "EDS", "LDS", "RDS")


def _first(seen: Seen, type_: str) -> bool:
    return seen.first("subscribe", proxy="front").type == type_


def _asks_in_order(seen: Seen) -> bool:
    return in_order(*(seen.first("subscribe", type_, proxy="front") for type_ in ASKS))


def _each_answered(seen: Seen) -> bool:
    sends, acks = seen.all("send", proxy="front"), seen.all("ack", proxy="front")
    return bool(sends) and sorted(one.nonce for one in sends) == sorted(one.nonce for one in acks)


def _endpoints_after_clusters(seen: Seen) -> bool:
    return in_order(
        seen.first("send", "CDS", proxy="front", name=ORDERS),
        seen.first("subscribe", "EDS", proxy="front", name=ORDERS),
        seen.first("ack", "CDS", proxy="front"),
    )


def _routes_after_listeners(seen: Seen) -> bool:
    asked = set(seen.first("subscribe", "RDS", proxy="front").names)
    sent = {name for one in seen.all("send", "LDS", proxy="front") for name in one.names}
    return LISTENER in asked and asked <= sent


def _addresses(seen: Seen) -> tuple[int, int]:
    """How many addresses of servers stand in the message, and how many of them are new."""
    message, _, difference = str(seen.values["message"]).partition(f"\n# {ORDERS}: ")
    new = [line for line in difference.splitlines() if line.startswith("+") and ADDRESS in line]
    return message.count(ADDRESS), len(new)


def _sent_types(seen: Seen) -> list[str]:
    return sorted({one.type for one in seen.all("send", proxy="front")})


LESSON = Lesson(
    title="The first stream of an Envoy",
    rules=(1, 5, 8, 12),
    stage=bare_mesh,
    sees="""
    An **Envoy** is a proxy: a program beside each of your containers, through which all that they call goes. What it does
    with a request is decided in four steps:

        request --> listener --> route ------> cluster --> endpoint
                    port 80      "/" goes to   "orders"    10.88.0.2:80
                    accepts it   "orders"      is a group  is one of its servers

    It starts knowing none of these, but only who it is and where its **control plane** is, the program that decides for
    all Envoys. From there it gets them, in a protocol called **xDS**, "x discovery service", where x is what is asked for:
    **L**DS for listeners, **R**DS for routes, **C**DS for clusters, **E**DS for endpoints. One such thing, with its type and
    its name, is a **resource**.

    All messages go over one *stream*: a single HTTP/2 request (gRPC) that does not end, in which both sides say something
    whenever they have something to say. You will read each message of an Envoy's first second.
    """,
    scenes=(
        Scene(
            "What it asks for first",
            """
            `orders.yaml` in the lesson's folder names a service `orders` of two copies (a running copy is called a *task*),
            and `front`, a port of this machine that leads to it. `front` is an Envoy, and we look at what it says to the
            control plane. Nothing runs yet: `apply` starts it, and `wait --steady` returns when all of it runs and every Envoy
            has what it should have, which is called *converged*.
            """,
            question=Question(
                "the Envoy of `front` has just started. What does it ask for first?",
                (
                    Choice("For listeners: without them it cannot accept anything.", lambda seen: _first(seen, "LDS")),
                    Choice(
                        "For clusters: the groups of servers to which requests may go.",
                        lambda seen: _first(seen, "CDS"),
                    ),
                    Choice("For routes: they say what belongs together.", lambda seen: _first(seen, "RDS")),
                ),
                right="b",
                because="""
                It begins at the far end of the picture. As soon as it listens it will be called, and then it must know where
                to go: so it opens the door last.
                """,
            ),
            steps=(
                Run("tsunagu apply orders.yaml"),
                Run("tsunagu wait --steady"),
                log("front", "CDS"),
            ),
            claims=(
                Claim(
                    "Its first request is for clusters, and names none: `*`, all that there are.",
                    lambda seen: list(seen.first("subscribe", proxy="front").names) == ["*"],
                ),
            ),
            explained="""
            A line is one message. `<-` came from the Envoy, `->` went to it; then come the type, what it is, the names in it,
            the revision of the mesh that it contains (`r19`), in parentheses why it was sent, and how large it is. The cluster
            of our service is called `svc/lesson/orders`; `blackhole` is where connections go that are meant for nobody.

            "subscribe", which stands as *wants*, is the heart of xDS: the Envoy does not fetch, it *subscribes*. The request
            stays open for as long as the stream does, and whenever something of it changes, the control plane sends it.
            """,
        ),
        Scene(
            "What it asks for next",
            """
            Now all of the same messages. Watch where the names in the Envoy's requests come from: it has no file in which it
            could have read them.
            """,
            back=True,
            question=Question(
                "how does the Envoy know the name `svc/lesson/orders` when it asks for endpoints?",
                (
                    Choice(
                        "It asks for `*` here, too, and is sent all endpoints.",
                        lambda seen: bool(seen.all("subscribe", "EDS", proxy="front", name="*")),
                    ),
                    Choice("From the clusters that it was just sent.", _endpoints_after_clusters),
                    Choice("It is sent them unasked.", lambda seen: not seen.all("subscribe", "EDS", proxy="front")),
                ),
                right="b",
                because="""
                A cluster says of itself "my endpoints are to be had over EDS". The Envoy asks for the endpoints of each such
                cluster by name, and so on: listeners name routes, and routes are asked for by name.
                """,
            ),
            steps=(log("front"),),
            claims=(
                Claim("It asks for clusters, then endpoints, then listeners, then routes.", _asks_in_order),
                Claim(
                    "It asks for the endpoints of a cluster before it says that it has accepted the cluster.",
                    _endpoints_after_clusters,
                ),
                Claim("The routes that it asks for are those that its listeners name.", _routes_after_listeners),
                Claim("Each response is answered by exactly one ACK.", _each_answered),
            ),
            explained="""
            The listener `alias/lesson/orders:80` is the one for our service; `capture` catches all that an app calls and hands
            it to the right one.

            An **ACK** is the Envoy's "accepted". It comes as one more request of the same type, which says which response it
            means; the next lesson is about that.

            Clusters and listeners are asked for with `*`, endpoints and routes by name. So the control plane decides which
            clusters and listeners there are, and they in turn decide what else is needed.
            """,
        ),
        Scene(
            "One change, later",
            """
            The stream stays open. Let there be a third copy of `orders`: it will have an address that `front` has to know.
            """,
            question=Question(
                "what is the Envoy of `front` sent when the third copy is there?",
                (
                    Choice(
                        "Everything again: clusters, endpoints, listeners, routes.",
                        lambda seen: _sent_types(seen) == ["CDS", "EDS", "LDS", "RDS"],
                    ),
                    Choice("The endpoints of `orders`, and nothing else.", lambda seen: _sent_types(seen) == ["EDS"]),
                    Choice("Nothing: it asks again from time to time.", lambda seen: not _sent_types(seen)),
                ),
                right="b",
                because="""
                The cluster is the same, only its endpoints are others. This is why they are a type of their own: they change
                all the time, with every copy that starts or stops, and the rest hardly ever does.
                """,
            ),
            steps=(
                Run("tsunagu scale orders=3"),
                Run("tsunagu wait --steady"),
                log("front", wide=True),
                show(lambda seen: seen.one("send", "EDS", proxy="front"), keep="message"),
            ),
            claims=(
                Claim(
                    "The endpoints are named once, and answered by one ACK with the same nonce.",
                    lambda seen: (
                        seen.one("send", "EDS", proxy="front").nonce == seen.one("ack", "EDS", proxy="front").nonce
                    ),
                ),
                Claim(
                    "Nobody asked for it: there is no new request.",
                    lambda seen: not seen.all("subscribe", proxy="front"),
                ),
                Claim(
                    "The message has three addresses, of which one is new.",
                    lambda seen: _addresses(seen) == (COPIES + 1, 1),
                ),
            ),
            explained="""
            With `--wide` you see two more things. Behind `@` stands the **version** of what was sent: it names the content,
            here as a hash of its bytes. The **nonce** names this one response on this one stream, so that the ACK can say
            what it answers. Same content, same version, always; but never twice the same nonce. (The `version` at the end of a
            line names all resources of that type together. Only the older variant of xDS needs it, which is in lesson 6.)

            `tsunagu xds show` takes the number at the beginning of such a line and shows the message itself, and what is
            different in it from what this Envoy was sent before.
            """,
        ),
    ),
    remember=(
        "An Envoy asks for clusters, endpoints, listeners, routes, in that order: the door is opened last.",
        "A request is a subscription. What changes is sent without being asked for again.",
        "Endpoints are a type of their own because they change most.",
        "A version names content, a nonce names one response; each response gets exactly one answer.",
    ),
)
