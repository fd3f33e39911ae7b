"""`make bench`: measures on real meshes, prints what was seen, and keeps it as JSON in benchmarks/results/.

Rule: a timing is printed and kept with the machine that it was seen on, and never asserted.
"""

import argparse
import sys

from benchmarks import fleet, report, startup

SCENARIOS = {"startup": startup.run, "fleet": fleet.run}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "scenario", nargs="*", choices=[[], *SCENARIOS], help=f"of {', '.join(SCENARIOS)}; all when none is given"
    )
    for name in parser.parse_args().scenario or SCENARIOS:
        report.title(name, SCENARIOS[name].__doc__ or "")
        report.keep(name, SCENARIOS[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
