"""Builds the images that the tests need before they run: `python -m tests.engine.prepare`. It takes a minute, once.

Without an engine it says why and ends with 0, for the tests that need one will be skipped; where CI is set it ends with 1.
"""

import os
import sys

from tests.engine.engine import Unavailable, running


def main() -> int:
    try:
        with running() as engine:
            for name in (engine.base, engine.sidecar, engine.mesh, *engine.shop):
                print(f"image {name}", flush=True)
    except Unavailable as error:
        print(f"tests with Docker are {'not possible' if os.environ.get('CI') else 'skipped'}: {error}", flush=True)
        return 1 if os.environ.get("CI") else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
