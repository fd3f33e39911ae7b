"""A message as people read it: as YAML, with what is different, and without secrets."""

import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as endpoints
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import pytest
from envoy_data_plane.google.protobuf import Any

from tsunagu.cli.display import message
from tsunagu.v1 import inspector_pb2 as pb
from tsunagu.xds.resources import CDS, EDS, LDS, SDS


def assignment(*ports: int) -> bytes:
    hosts = [
        endpoints.LbEndpoint(
            endpoint=endpoints.Endpoint(
                address=core.Address(socket_address=core.SocketAddress(address="10.0.0.1", port_value=port))
            )
        )
        for port in ports
    ]
    return bytes(
        endpoints.ClusterLoadAssignment(
            cluster_name="svc", endpoints=[endpoints.LocalityLbEndpoints(lb_endpoints=hosts)]
        )
    )


def kept(version: str, content: bytes) -> pb.MessageBody:
    return pb.MessageBody(version=version, state="kept", content=content)


def shown(url: str = EDS, *parts: pb.MessagePart, answer: dict | None = None, **event) -> pb.MessageResponse:
    fields = {"kind": "send", "variant": "delta", "stream": "3", "sequence": 41, "proxy": "default/web-1", **event}
    made = pb.MessageResponse(event=pb.TimelineEvent(**fields), type_url=url, parts=parts, identifier="cp")
    if answer:
        made.answer.CopyFrom(pb.TimelineEvent(**answer))
    return made


def test_a_delta_response_names_each_resource_with_its_version():
    part = pb.MessagePart(name="svc", now=kept("1f", assignment(80)))
    made = message.document(shown(EDS, part, nonce="3-7", version="ab", removed=["gone"]))

    assert list(made) == [
        "system_version_info", "resources", "type_url", "nonce", "removed_resources", "control_plane",
    ]  # fmt: skip
    [resource] = made["resources"]
    assert (resource["name"], resource["version"], resource["resource"]["@type"]) == ("svc", "1f", EDS)
    assert resource["resource"]["cluster_name"] == "svc"
    assert made["removed_resources"] == ["gone"]


def test_a_sotw_response_has_one_version_for_all():
    part = pb.MessagePart(name="svc", now=kept("1f", assignment(80)))
    made = message.document(shown(EDS, part, variant="sotw", version="ab", nonce="3-7"))

    assert made["version_info"] == "ab"
    assert made["resources"][0]["@type"] == EDS
    assert "name" not in made["resources"][0]


@pytest.mark.parametrize(
    ("event", "made"),
    [
        (
            {"kind": "subscribe", "variant": "sotw", "names": ["b"], "detail": "has version 1f"},
            {"resource_names": ["a", "b"], "type_url": EDS},
        ),
        (
            {"kind": "ack", "variant": "sotw", "nonce": "3-7", "version": "ab"},
            {"version_info": "ab", "resource_names": ["a", "b"], "type_url": EDS, "response_nonce": "3-7"},
        ),
        (
            {"kind": "nack", "variant": "sotw", "nonce": "3-8", "version": "ab", "names": ["b"], "detail": "bad"},
            {
                "version_info": "ab", "resource_names": ["a", "b"], "type_url": EDS, "response_nonce": "3-8",
                "error_detail": {"message": "bad"},
            },
        ),
        (
            {"kind": "subscribe", "names": ["b"], "removed": ["c"]},
            {"type_url": EDS, "resource_names_subscribe": ["b"], "resource_names_unsubscribe": ["c"]},
        ),
        ({"kind": "subscribe", "names": ["*"]}, {"type_url": EDS}),
        ({"kind": "ack", "nonce": "3-7"}, {"type_url": EDS, "response_nonce": "3-7"}),
    ],
)  # fmt: skip
def test_a_request_is_what_its_variant_says(event, made):
    request = shown(EDS, **event)
    if event.get("variant") == "sotw":
        request.asked.extend(["a", "b"])
    assert message.document(request) == made


def test_what_is_different_is_a_diff_against_what_the_client_had():
    part = pb.MessagePart(name="svc", now=kept("2", assignment(80, 81)), before=kept("1", assignment(80)), since=12)
    lines = list(message.differences(shown(EDS, part, removed=["old"])))

    assert lines[0] == "# svc: different from event 12"
    assert any(line.startswith("+") and line.endswith("port_value: 81") for line in lines)
    assert not any(line.startswith("-") for line in lines)
    assert lines[-1] == "# old: removed"


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (kept("1", b""), None, "# c: new, as far as is known"),
        (kept("1", b""), kept("1", b""), "# c: the same as in event 5"),
        (
            kept("2", b""),
            pb.MessageBody(version="1", state="gone"),
            "# c: another version than in event 5 [its content is no longer kept]",
        ),
        (
            pb.MessageBody(version="2", state="secret"),
            pb.MessageBody(version="1", state="secret"),
            "# c: another version than in event 5 [secret]",
        ),
        (pb.MessageBody(version="2", state="heartbeat"), None, "# c: a heartbeat, no news"),
    ],
)
def test_where_nothing_can_be_compared_that_is_said(now, before, words):
    part = pb.MessagePart(name="c", now=now, since=5)
    if before is not None:
        part.before.CopyFrom(before)
    assert list(message.differences(shown(CDS, part))) == [words]


def listener(key: str) -> bytes:
    certificate = tls.TlsCertificate(private_key=core.DataSource(inline_string=key))
    context = tls.DownstreamTlsContext(common_tls_context=tls.CommonTlsContext(tls_certificates=[certificate]))
    socket = core.TransportSocket(name="tls", typed_config=Any.pack(context))
    return bytes(listeners.Listener(name="l", filter_chains=[listeners.FilterChain(transport_socket=socket)]))


def test_no_key_is_shown_neither_in_a_message_nor_in_a_difference():
    part = pb.MessagePart(name="l", now=kept("2", listener("MIIE-new")), before=kept("1", listener("MIIE-old")))
    made = shown(LDS, part)
    text = str(message.document(made)) + "\n".join(message.differences(made))

    assert "MIIE" not in text
    assert "[redacted]" in text
    assert "(a secret in it)" in text
    secret = pb.MessagePart(name="s", now=pb.MessageBody(version="1", state="secret"))
    assert message.document(shown(SDS, secret))["resources"][0]["resource"] == "[secret]"


def test_a_body_that_is_no_message_is_told_as_such():
    part = pb.MessagePart(name="c", now=kept("1", b"\x08\x01"))
    assert message.document(shown(CDS, part))["resources"][0]["resource"].startswith("[cannot be shown: ")


def test_the_heading_says_what_it_is_why_and_how_it_was_answered():
    answered = {"sequence": 44, "kind": "nack", "latency_seconds": 0.004}
    lines = list(message.heading(shown(EDS, answer=answered, bytes=270, revision=66, cause="Task x RUNNING", more=5)))

    assert lines[0].startswith("event 41, ")
    assert lines[0].endswith(": a DeltaDiscoveryResponse of 270 B to web-1, stream 3")
    assert lines[1:] == [
        "because of: Task x RUNNING r66",
        "answered by event 44: NACK after 4.0 ms",
        "5 more names are not kept",
    ]
    [_, unanswered] = message.heading(shown(EDS))
    assert unanswered == "not answered, as far as is known"
    [first, claims] = message.heading(shown(EDS, kind="subscribe", variant="sotw", detail="has version 1f"))
    assert first.endswith("what is asked for in a DiscoveryRequest of web-1, stream 3")
    assert claims == "the client has version 1f"
