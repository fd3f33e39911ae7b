"""What the probe of a runtime says of this machine, for `tsunagu doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `needed`: the runtime cannot do without it; `remedy` is empty when it is `ok`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True
