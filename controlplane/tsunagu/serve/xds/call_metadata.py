"""What a call says of its client beside its messages."""

from __future__ import annotations

from typing import Any


class CallMetadata(dict[str, str]):
    """The metadata of a call. `identities`: the names in the client's certificate, which TLS has verified; `peer`: its
    address as gRPC writes it.
    """

    def __init__(self, context: Any) -> None:
        pairs = context.invocation_metadata() or ()
        super().__init__({key: value for key, value in pairs if isinstance(value, str)})
        self.identities = tuple(name.decode(errors="replace") for name in context.peer_identities() or ())
        self.peer: str = context.peer()
