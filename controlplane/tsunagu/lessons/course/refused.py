"""Lesson 2: what an Envoy does with something that it cannot use, and what the control plane does then: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.lessons.lesson import Choice, Claim, Lesson, Question, Scene
from tsunagu.lessons.mesh_stage import orders_mesh
from tsunagu.lessons.seen import in_order
from tsunagu.lessons.steps import File, Run, Under, Until, Watch, failed, log

if TYPE_CHECKING:
    from tsunagu.lessons.seen import Seen

BROKEN = """
name: extra
"""
MENDED = """
name: extra
address: {socket_address: {address: 127.0.0.1, port_value: 10000}}
bind_to_port: false
filter_chains:
- filters:
  - name: to orders
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: extra
      cluster: svc/lesson/orders
"""
EARLY = """
name: early
address: {socket_address: {address: 127.0.0.1, port_value: 10001}}
bind_to_port: false
filter_chains:
- filters:
  - name: http
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: early
      route_config:
        name: early
        validate_clusters: true
        virtual_hosts:
        - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: green}}]}
      http_filters:
      - name: router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""
GREEN = """
name: green
type: STATIC
connect_timeout: 1s
"""


def _sends(seen: Seen) -> int:
    return _sends_of(seen, "extra")


def _sends_of(seen: Seen, listener: str) -> int:
    return len(seen.all("send", "LDS", proxy="front", name=listener))


def _one_nack(seen: Seen) -> bool:
    sent, refused = seen.one("send", "LDS", proxy="front"), seen.one("nack", "LDS", proxy="front")
    return in_order(sent, refused) and sent.nonce == refused.nonce


LESSON = Lesson(
    title="ACK and NACK, and why nothing is sent again",
    rules=(2, 4),
    stage=orders_mesh,
    sees="""
    What the control plane sends may be wrong. Nobody should have to guess what a proxy made of it, so each response has an
    answer: **ACK**, accepted, or **NACK**, refused, with words that say why.

    You will send an Envoy a listener that it cannot use, and see what becomes of it, of the traffic, and of the control
    plane's patience.
    """,
    scenes=(
        Scene(
            "A listener without an address",
            """
            The mesh of the lesson runs: `front` leads to two copies of `orders`. `tsunagu xds override` puts a resource that you
            wrote by hand, of any type and name, beside those that the control plane makes, or in the place of one of them; all
            Envoys of the namespace `lesson` are sent it. This one is a listener that does not say where to listen.
            """,
            given=(File("broken.yaml", BROKEN),),
            question=Question(
                "the control plane sends it to `front`, whose Envoy refuses it. What happens in the two seconds after that?",
                (
                    Choice("It is sent again, until the Envoy takes it.", lambda seen: _sends(seen) > 1),
                    Choice(
                        "The stream is closed, and the Envoy begins anew.",
                        lambda seen: bool(seen.all("close", proxy="front")),
                    ),
                    Choice(
                        "Nothing. The control plane waits for something else to send.", lambda seen: _sends(seen) == 1
                    ),
                ),
                right="c",
                because="""
                The same bytes would be refused again, and again, as fast as the network can carry them: several control
                planes had that bug. A NACK says "I have what I had before". It is news for people, not a request.
                """,
            ),
            steps=(
                Run("tsunagu xds override lesson LDS extra broken.yaml"),
                Until(lambda seen: len(seen.all("nack", "LDS")) == 3, "a NACK of each Envoy"),
                Watch(2),
                log("front", wide=True),
            ),
            claims=(
                Claim("The NACK bears the nonce of the response that it refuses.", _one_nack),
                Claim(
                    "It says in Envoy's own words what is missing, and in which resource.",
                    lambda seen: (
                        "extra" in seen.one("nack", "LDS", proxy="front").detail
                        and "address" in seen.one("nack", "LDS", proxy="front").detail
                    ),
                ),
                Claim(
                    "Each of the three Envoys was sent it once, and refused it by itself.",
                    lambda seen: len(seen.all("send", "LDS", name="extra")) == len(seen.all("nack", "LDS")) == 3,
                ),
            ),
            explained="""
            Look at the nonce: that is how a NACK says what it is about. What makes it a NACK is that there is an error in
            it, nothing else: no version goes up or down.
            """,
        ),
        Scene(
            "Who notices",
            """
            The refused listener is still what the control plane wants. So the mesh is not in the state in which it should be.
            Is anybody hurt by that?
            """,
            question=Question(
                "100 requests go through `front` while its Envoy refuses. How many fail?",
                (
                    Choice(
                        "All: an Envoy with a wrong configuration serves nothing.",
                        lambda seen: not seen.values["load"].succeeded,
                    ),
                    Choice(
                        "Some, for a moment.",
                        lambda seen: 0 < failed(seen.values["load"]) < seen.values["load"].requests,
                    ),
                    Choice("None.", lambda seen: not failed(seen.values["load"])),
                ),
                right="c",
                because="""
                An Envoy that refuses goes on with what it has. This is the other half of the bargain: a mistake in the
                control plane does not reach the traffic, and so somebody else has to notice it.
                """,
            ),
            steps=(
                Under("load", (), before=100, after=0),
                Run("tsunagu proxies front"),
                Run("tsunagu wait --timeout 1", exit=7),
            ),
            claims=(Claim("No message was exchanged meanwhile.", lambda seen: not seen.messages),),
            explained="""
            `proxies` tells what each Envoy has accepted, and `wait`, which a deployment would use, does not return with
            success: it says who has not got there, and why, and its exit code is 7. Alert on `wait` that ends with 7, or on
            NACKED in `proxies`, not on errors in traffic: there are none.
            """,
        ),
        Scene(
            "The cure",
            """
            What was refused is not sent again, but something else is sent at once. Here is the same listener with an address.
            """,
            given=(File("mended.yaml", MENDED),),
            steps=(
                Run("tsunagu xds override lesson LDS extra mended.yaml"),
                Run("tsunagu wait"),
                Run("tsunagu xds override lesson LDS extra --remove"),
                Run("tsunagu wait"),
                log("front", wide=True),
            ),
            claims=(
                Claim(
                    "The listener with an address was sent once, and then that it is to go.",
                    lambda seen: [list(one.names) for one in seen.all("send", "LDS", proxy="front")] == [["extra"], []],
                ),
                Claim("Nothing was refused any more.", lambda seen: not seen.all("nack")),
                Claim(
                    "Taking it away was a response, too, and has its ACK.",
                    lambda seen: len(seen.all("ack", "LDS", proxy="front")) == 2,
                ),
            ),
            explained="""
            Two versions of one name, two nonces, two answers. A removal names what is to go (*without extra*); how that
            looks in the older variant of xDS is in lesson 6.
            """,
        ),
        Scene(
            "Refused for want of something",
            """
            There is one case in which the same content *is* right later. This listener is whole, but it has its routes in it, is
            told to check them (`validate_clusters`), and leads to a cluster `green` that nobody has sent yet.
            """,
            given=(File("early.yaml", EARLY), File("green.yaml", GREEN)),
            question=Question(
                "the listener is refused. A second later the cluster `green` is sent, and accepted. What of the listener?",
                (
                    Choice(
                        "It stays refused until somebody changes it.",
                        lambda seen: not seen.all("ack", "LDS", proxy="front"),
                    ),
                    Choice(
                        "The Envoy has kept it, and takes it now by itself.",
                        lambda seen: _sends_of(seen, "early") == 1 and bool(seen.all("ack", "LDS", proxy="front")),
                    ),
                    Choice(
                        "The control plane sends it once more.",
                        lambda seen: _sends_of(seen, "early") == 2 and bool(seen.all("ack", "LDS", proxy="front")),
                    ),
                ),
                right="c",
                because="""
                An Envoy keeps nothing that it has refused. But its words name what was missing, and the control plane sees when
                just that is accepted later. Then there is reason to believe that the answer will be another one, and only
                then.
                """,
            ),
            steps=(
                Run("tsunagu xds override lesson LDS early early.yaml"),
                Until(lambda seen: len(seen.all("nack", "LDS")) == 3, "a NACK of each Envoy"),
                Watch(1),
                Run("tsunagu xds override lesson CDS green green.yaml"),
                Until(lambda seen: seen.all("ack", "LDS", proxy="front"), "an ACK of the listener"),
                Run("tsunagu wait"),
                log("front"),
            ),
            claims=(
                Claim(
                    "The refusal names the cluster that is missing.",
                    lambda seen: "'green'" in seen.one("nack", "LDS", proxy="front").detail,
                ),
                Claim(
                    "The listener is sent once more after the ACK of the cluster, not with it.",
                    lambda seen: in_order(
                        seen.one("nack", "LDS", proxy="front"),
                        seen.one("send", "CDS", proxy="front", name="green"),
                        seen.one("ack", "CDS", proxy="front"),
                        seen.all("send", "LDS", proxy="front", name="early")[-1],
                        seen.one("ack", "LDS", proxy="front"),
                    ),
                ),
                Claim(
                    "It is the same content, in the same version.",
                    lambda seen: len({one.versions["early"] for one in seen.all("send", "LDS", name="early")}) == 1,
                ),
            ),
        ),
    ),
    remember=(
        "Each response has one answer, and the nonce says which response is meant.",
        "A NACK carries the reason in Envoy's words, and changes nothing in the Envoy.",
        "The same content is not sent again after a NACK, unless what it lacked has come; other content is sent at once.",
        "Traffic does not show a NACK. Whoever deploys has to ask: `tsunagu wait`.",
    ),
)
