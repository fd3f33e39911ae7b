"""The control plane's own numbers as the Inspector serves them: those of its parts, and of its process.

Rule: nothing is measured here that costs anything while nobody asks.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

from tsunagu.kit.process_limits import resident_bytes
from tsunagu.serve.xds.metrics import Metric, gauge
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.serve.xds.metrics import Histogram

_FILES = Path("/proc/self/fd")


def of_process() -> list[Metric]:
    """Memory, descriptors and CPU of this process. What the system does not tell is left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = [Metric("process_cpu_seconds", "counter", "seconds", "CPU, user and system", used.ru_utime + used.ru_stime)]
    try:
        files = sum(1 for _ in _FILES.iterdir())
    except OSError:  # no Linux
        return found
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        *found,
        gauge("process_open_files", files, "open files, connections among them"),
        gauge("process_open_files_limit", soft, "how many may be open"),
        gauge("process_resident_bytes", resident_bytes(), "memory in use", "bytes"),
    ]


def response(metrics: Iterable[Metric]) -> inspector_pb2.MetricsResponse:
    """The answer of the API, sorted by name and labels."""
    ordered = sorted(metrics, key=lambda metric: (metric.name, sorted(metric.labels.items())))
    return inspector_pb2.MetricsResponse(metrics=[_metric(metric) for metric in ordered])


def _metric(metric: Metric) -> inspector_pb2.Metric:
    return inspector_pb2.Metric(
        name=metric.name,
        kind=metric.kind,
        unit=metric.unit,
        help=metric.help,
        labels=metric.labels,
        value=metric.value,
        histogram=_histogram(metric.histogram) if metric.histogram else None,
    )


def _histogram(histogram: Histogram) -> inspector_pb2.Histogram:
    return inspector_pb2.Histogram(bounds=histogram.bounds, counts=histogram.counts, sum=histogram.sum)
