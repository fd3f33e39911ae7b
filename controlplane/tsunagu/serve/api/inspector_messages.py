"""What the Inspector API says, made of what the xDS server knows: one function for each message.

The one rule: nothing is decided here, and no secret passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from tsunagu.kit import grpc_bootstrap
from tsunagu.v1 import inspector_pb2
from tsunagu.xds.resources import type_of

if TYPE_CHECKING:
    from tsunagu.mesh.view import View
    from tsunagu.serve.xds.history.shown_message import Body, Message, Part
    from tsunagu.serve.xds.proxies import ClientState, ProxyState
    from tsunagu.serve.xds.timeline import Event
    from tsunagu.xds.inspection.inventory import ResourceState
    from tsunagu.xds.inspection.status import TypeState

SHOWN_BYTES = 8 << 20  # of the bodies of one message; half of what a client takes


def stamp(seconds: float) -> Timestamp:
    """Seconds since the epoch as a Timestamp."""
    made = Timestamp()
    made.FromNanoseconds(int(seconds * 1e9))
    return made


def proxy_of(name: str, state: ProxyState | None, view: View, *, expected: bool) -> inspector_pb2.Proxy:
    """A proxy that is connected (`state`) or should be."""
    client = grpc_bootstrap.parse(name)
    task = view.task(client[1].partition("#")[0] if client else name)
    proxy = inspector_pb2.Proxy(
        name=name,
        namespace=client[0] if client else task.namespace if task else "",
        service=task.revision.rpartition("/")[0] if task else "",
        connected=state is not None,
        expected=expected,
    )
    if state is not None:
        proxy.connected_at.CopyFrom(stamp(state.connected_at))
        proxy.variant, proxy.version = state.variant, state.version
        proxy.types.extend(_type(of) for of in state.types)
        proxy.clients.extend(_client(of) for of in state.clients)
    return proxy


def _client(state: ClientState) -> inspector_pb2.ProxyClient:
    return inspector_pb2.ProxyClient(
        counts=state.counts,
        connected_at=stamp(state.connected_at),
        variant=state.variant,
        version=state.version,
        peer=state.peer,
        streams=state.streams,
        types=[_type(of) for of in state.types],
    )


def _type(state: TypeState) -> inspector_pb2.ProxyType:
    return inspector_pb2.ProxyType(
        type=state.type,
        state=state.state,
        age_seconds=state.age,
        resources=state.resources,
        version=state.version,
        error=state.error,
        rejected=state.rejected,
        held_seconds=state.held,
    )


def resource_of(state: ResourceState, request: inspector_pb2.ResourcesRequest) -> inspector_pb2.ProxyResource:
    """One resource of a proxy."""
    return inspector_pb2.ProxyResource(
        type=type_of(state.type_url).short,
        type_url=state.type_url,
        name=state.name,
        state=state.state,
        age_seconds=state.age,
        version=state.version,
        body=b"" if request.without_bodies else state.shown,
        error=state.error,
    )


def timeline_event(event: Event) -> inspector_pb2.TimelineEvent:
    """An event of the timeline, as a message of the API."""
    return inspector_pb2.TimelineEvent(
        sequence=event.sequence,
        time=stamp(event.time),
        proxy=event.proxy,
        type=event.type,
        kind=event.kind,
        names=event.names,
        removed=sorted(event.removed),
        versions=event.versions,
        nonce=event.nonce,
        cause=event.cause,
        detail=event.error or event.detail,
        revision=event.revision,
        bytes=event.bytes,
        latency_seconds=event.latency,
        more=event.more,
        version=event.version,
        stream=event.stream,
        variant=event.variant,
        asked=sorted(event.asked),
    )


def message_of(message: Message, identifier: str) -> inspector_pb2.MessageResponse:
    """One event with its bodies, `SHOWN_BYTES` of them at most."""
    made = inspector_pb2.MessageResponse(
        event=timeline_event(message.event),
        type_url=message.event.type_url,
        previous=message.previous,
        dropped=message.dropped,
        asked=message.asked,
        identifier=identifier,
    )
    room = SHOWN_BYTES
    for part in message.parts:
        room -= len(part.now.content) + (len(part.before.content) if part.before else 0)
        made.parts.append(_part(part, bodies=room >= 0))
    if message.answer is not None:
        made.answer.CopyFrom(timeline_event(message.answer))
    return made


def _part(part: Part, *, bodies: bool) -> inspector_pb2.MessagePart:
    made = inspector_pb2.MessagePart(name=part.name, now=_body(part.now, shown=bodies), since=part.since)
    if part.before is not None:
        made.before.CopyFrom(_body(part.before, shown=bodies))
    return made


def _body(body: Body, *, shown: bool) -> inspector_pb2.MessageBody:
    if shown or not body.content:
        return inspector_pb2.MessageBody(version=body.version, state=body.state, content=body.content)
    return inspector_pb2.MessageBody(version=body.version, state="large")
