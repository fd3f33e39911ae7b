"""`make bench`: measures on real meshes, prints what was seen, and keeps it as JSON in benchmarks/results/.

Rule: a timing is printed and kept with the machine that it was seen on, and never asserted.
"""

import argparse
import functools
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import (
    access,
    backends,
    cloudmap,
    datapath,
    deployed,
    dns_answers,
    fleet,
    hostile,
    identity,
    imports,
    outside,
    replaced,
    report,
    signals,
    soak,
    startup,
    tasks,
    traffic_changes,
    xds,
)

SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {
    "imports": imports.run,
    "startup": startup.run,
    "fleet": fleet.run,
    "backends": backends.run,
    "access": access.run,
    "tasks": tasks.run,
    "signals": signals.run,
    "dns": dns_answers.run,
    "identity": identity.run,
    "outside": outside.run,
    "xds": xds.run,
    "datapath": datapath.run,
    "hostile": hostile.run,
    "cloudmap": cloudmap.run,
}
_LONG = {**soak.SCENARIOS, **deployed.SCENARIOS, **replaced.SCENARIOS, **traffic_changes.SCENARIOS}
SOAKS: dict[str, Callable[[], dict[str, Any]]] = {  # minutes each, so only by name
    "datapath-additions": datapath.additions,
    "soak": soak.run,
    **{f"soak-{name}": scenario for name, scenario in _LONG.items()},
}
QUICK = {  # smaller, to see that it works
    "access": functools.partial(access.run, policies=100, changes=10),
    "xds": functools.partial(xds.run, quick=True),
    "datapath": functools.partial(datapath.run, slices=datapath.QUICK_SLICES),
    "datapath-additions": functools.partial(datapath.additions, slices=datapath.QUICK_SLICES),
    "hostile": functools.partial(hostile.run, quick=True),
    "identity": functools.partial(identity.run, slices=identity.QUICK_SLICES),
    "outside": functools.partial(outside.run, share=0.05),
    "cloudmap": functools.partial(cloudmap.run, calls=400),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "scenario",
        nargs="*",
        choices=[[], *SCENARIOS, *SOAKS],
        help=f"of {', '.join(SCENARIOS)}, which are all when none is given; or {', '.join(SOAKS)}",
    )
    parser.add_argument("--quick", action="store_true", help=f"small figures, to see that it works: {', '.join(QUICK)}")
    arguments = parser.parse_args()
    for name in arguments.scenario or SCENARIOS:
        run = {**SCENARIOS, **SOAKS}[name]
        report.title(name, run.__doc__ or "")
        if arguments.quick and name in QUICK:
            report.keep(f"{name}-quick", QUICK[name]())
        else:
            report.keep(name, run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
