"""The story of the shop in the docker runtime: each promise of `make demo`, told with containers."""

import subprocess
import sys
from pathlib import Path

import pytest

# Nothing runs beside it: on two cores the story's load and the engine's work leave no time for other tests.
pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.alone]

DEMO = Path(__file__).parents[2] / "examples" / "01-shop" / "demo.py"


@pytest.mark.slow("it is the whole story: kill, scale, eject, replace, and the control plane's death, under load")
def test_every_promise_of_the_demo_holds_with_containers(engine):
    assert engine.shop
    told = subprocess.run(
        [sys.executable, str(DEMO), "--runtime", "docker"],
        env=engine.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert told.returncode == 0, f"{told.stdout}\n{told.stderr}"
    assert told.stdout.count("✓") >= 15
    assert "no process, container, network, volume or socket. All of it held." in told.stdout
