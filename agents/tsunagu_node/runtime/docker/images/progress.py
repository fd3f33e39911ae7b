"""How far a pull is, from what the engine says about each layer. Pure."""

from collections.abc import Iterable
from typing import Final

from tsunagu_node.runtime.docker.images.images import messages

_DONE: Final = frozenset({"Pull complete", "Already exists"})
_MB: Final = 1_000_000


class Progress:
    """`error`: what the engine gave up with, if it did. `_layers`: layer -> (bytes that are there, bytes of the whole)."""

    def __init__(self) -> None:
        self.error = ""
        self._layers: dict[str, tuple[int, int]] = {}
        self._done: set[str] = set()

    def learn(self, lines: Iterable[bytes]) -> None:
        """Take over messages, one in each line."""
        for message in (one for line in lines for one in messages(line)):
            self.error = str(message.get("error") or self.error)
            layer, detail = message.get("id", ""), message.get("progressDetail") or {}
            if message.get("status") in _DONE:
                self._done.add(layer)
            if message.get("status") == "Downloading" and "total" in detail:
                self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))

    def __str__(self) -> str:
        here, whole = (sum(sizes[at] for sizes in self._layers.values()) for at in (0, 1))
        return f"{len(self._done)} layers done, {here / _MB:.0f} of {whole / _MB:.0f} MB"
