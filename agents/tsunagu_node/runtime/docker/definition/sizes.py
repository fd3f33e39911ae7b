"""A task definition's own cpu and memory, as AWS writes them: "256" or ".25 vCPU", "512" or "1 GB". Pure."""

from typing import Final

_MIB: Final = 1024 * 1024
_UNITS: Final = 1024  # of cpu, in one processor
_NANO: Final = 1_000_000_000


def memory(text: str) -> int:
    """Return bytes; 0: no limit, or none that can be read (what is no size was refused when it was applied)."""
    number, unit = _parts(text)
    return round(number * (1024 * _MIB if unit == "GB" else _MIB))


def nano_cpus(text: str) -> int:
    """Return billionths of a processor; 0: no limit."""
    number, unit = _parts(text)
    return round(number * (_NANO if unit == "VCPU" else _NANO / _UNITS))


def _parts(text: str) -> tuple[float, str]:
    words = text.upper().strip()
    number = words.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    try:
        return float(number), words[len(number) :].strip()
    except ValueError:
        return 0.0, ""
