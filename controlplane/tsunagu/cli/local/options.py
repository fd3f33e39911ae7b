"""How a mesh is held, whatever runs in it: the options of `up` that go on to its children and to its end.

Rule: `--detach` starts `up` once more in the background, so everything here goes through one word of a command line.
"""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass


class Xds(enum.StrEnum):
    """The variant of xDS that sidecars speak with the control plane."""

    delta = "delta"
    sotw = "sotw"


@dataclass(frozen=True, slots=True)
class Options:
    """`stop_within`: seconds that draining may take at the end; `xds`: the variant that sidecars speak; `runtimes`: what runs the
    tasks, a node each, as `Choice.encoded` writes it, empty while it is not chosen yet; `zones`: "a,b,c", over which tasks are
    spread; `aws`: HOST:PORT of the AWS endpoint, empty for none; `metrics`: the same of the exporter for Prometheus; `dns`: the
    port of this machine's loopback at which names are answered, empty for the usual one; `hooks`: what stands for functions from now
    on, as `serve.hooks.hook_map.word` writes it; `identity`: VARIABLE=VALUE of `IdentitySettings`, for the control plane; `asked`: what the command line asks for, as `resume.request` writes it.
    """

    stop_within: float = 3.5
    xds: Xds = Xds.delta
    runtimes: tuple[str, ...] = ()
    zones: str = ""
    aws: str = ""
    metrics: str = ""
    dns: str = ""
    hooks: tuple[str, ...] = ()
    asked: str = ""
    identity: tuple[str, ...] = ()

    @property
    def of_node(self) -> tuple[str, ...]:
        """The arguments of the node agent that follow from them."""
        dns = ("--dns", self.dns) if self.dns else ()
        return ("--xds", self.xds.value, *(("--zones", self.zones) if self.zones else ()), *dns)

    def word(self) -> str:
        """One word, from which `read` makes the same again."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, word: str) -> Options:
        """Undo `word`."""
        values = json.loads(word)
        zones, aws, metrics, dns, asked = (str(values[name]) for name in ("zones", "aws", "metrics", "dns", "asked"))
        runtimes, hooks, own = (tuple(map(str, values[name])) for name in ("runtimes", "hooks", "identity"))
        return cls(
            float(values["stop_within"]), Xds(values["xds"]), runtimes, zones, aws, metrics, dns, hooks, asked, own
        )
