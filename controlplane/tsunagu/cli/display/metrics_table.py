"""The control plane's own numbers as a table: `tsunagu xds metrics`.

The one rule: a number is written as a person reads it; the exact one is in `-o json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUANTILES = (0.5, 0.99)
_LARGE = 1024


def table(metrics: Sequence[Any]) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows."""
    return ["METRIC", "OF", "VALUE", "MEANING"], [_row(metric) for metric in metrics]


def _row(metric: Any) -> list[Any]:
    of = ", ".join(value for _, value in sorted(metric.labels.items()))
    shown = _distribution(metric.histogram) if metric.kind == "histogram" else _number(metric.value, metric.unit)
    return [metric.name, of or "-", shown, metric.help]


def _number(value: float, unit: str) -> str:
    if unit == "bytes":
        return _bytes(value)
    if unit == "seconds":
        return f"{value:.3f} s"
    return f"{value:,.0f}"


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if value < _LARGE:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= _LARGE
    return f"{value:,.1f} GiB"


def _distribution(histogram: Any) -> str:
    count = sum(histogram.counts)
    if not count:
        return "none"
    quantiles = ", ".join(f"p{share * 100:g} {_below(histogram, share * count)}" for share in _QUANTILES)
    return f"{count:,} of {histogram.sum / count * 1000:,.1f} ms in the mean, {quantiles}"


def _below(histogram: Any, wanted: float) -> str:
    """The upper bound of the bucket in which that many of the values are reached."""
    seen = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        seen += count
        if seen >= wanted:
            return f"<= {bound * 1000:g} ms"
    return f"> {histogram.bounds[-1] * 1000:g} ms"
