"""The one place that turns Envoy's messages into bytes.

betterproto2 builds a pydantic validator for every message at every level each time it encodes (20 s per 1,000 services),
and changes the process's warning filters for every field (not safe in a thread). The one rule: what translation builds
is encoded without either (tests validate the same messages, and Envoy is shown the golden files); everybody else's
messages are encoded as the library does it.

The switch is a context variable behind private methods of betterproto2's Message; its version is pinned for that.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING
from typing import Any as Any_

import betterproto2
from envoy_data_plane.google.protobuf import Any

from controlplane.xds.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

_unvalidated: ContextVar[bool] = ContextVar("tsunagu_unvalidated_encoding", default=False)


@cache
def _install() -> None:
    message = betterproto2.Message
    is_pydantic, field_default = message._is_pydantic, message._get_field_default  # noqa: SLF001 - see above

    def _is_pydantic(self: betterproto2.Message) -> bool:
        return not _unvalidated.get() and is_pydantic(self)

    def _get_field_default(self: betterproto2.Message, field_name: str) -> object:
        if _unvalidated.get():
            return self._betterproto.default_gen[field_name]()  # type: ignore[arg-type]  # a classproperty
        return field_default(self, field_name)

    # Asked for once per field, and each time all of the class's are evaluated.
    library: Any_ = message
    library._type_hints = classmethod(cache(library._type_hints.__func__))  # type: ignore[arg-type]  # noqa: SLF001
    message._is_pydantic = _is_pydantic  # type: ignore[method-assign]  # noqa: SLF001
    message._get_field_default = _get_field_default  # type: ignore[method-assign]  # noqa: SLF001


@contextmanager
def validation(*, on: bool) -> Iterator[None]:
    """Whether betterproto2 validates what this context encodes."""
    _install()
    token = _unvalidated.set(not on)
    try:
        yield
    finally:
        _unvalidated.reset(token)


def pack(message: betterproto2.Message) -> Any:
    """The message as an Any, encoded now."""
    return Any.pack(message)


class Codec:
    """Encodes, and counts what it has encoded (`encoded`: type URL -> times), which is what tests of cost look at."""

    def __init__(self, *, validate: bool = False) -> None:
        self.encoded: Counter[str] = Counter()
        self._validate = validate

    @contextmanager
    def session(self) -> Iterator[None]:
        """Everything built and encoded inside is validated as this codec was told: `bundles.translate` opens one."""
        with validation(on=self._validate):
            yield

    def resource(self, type_url: str, name: str, message: betterproto2.Message) -> Resource:
        """An envoy_data_plane message as a Resource; its version is the hash of its bytes."""
        return self.raw(type_url, name, bytes(message))

    def raw(self, type_url: str, name: str, body: bytes) -> Resource:
        """Bytes that somebody else has encoded, as a Resource."""
        self.encoded[type_url] += 1
        return Resource.of(type_url, name, body)
