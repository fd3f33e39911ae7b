"""The contract of runtimes (`linux_suite`), held by the linux runtime: inside a sandbox, as ourselves and as nobody."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tsunagu_node.runtime.linux import probe

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURSELVES: list[str] = []
ORDINARY = [sys.executable, str(ROOT / "tests" / "e2e" / "plain_user.py")]


@pytest.mark.e2e  # a sandbox with tasks in it, twice
@pytest.mark.slow("it is a whole suite, run inside a sandbox")
@pytest.mark.parametrize("who", [OURSELVES, ORDINARY], ids=["ourselves", "ordinary user"])
def test_the_linux_runtime_keeps_the_contract(who):
    found = probe.findings()
    if not probe.usable(found):
        pytest.skip("; ".join(f"{one.name}: {one.detail}" for one in found if one.needed and not one.ok))
    # Not below pytest's own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="tsunagu-") as home:
        Path(home).chmod(0o755)
        prefix = [*who, home] if who else []
        options = ["-q", "-x", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={HERE}"]
        options += [f"--basetemp={home}/t", "-o", f"cache_dir={home}/cache"]
        suite = [sys.executable, "-m", "pytest", *options, str(HERE / "linux_suite.py")]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [*prefix, sys.executable, str(HERE / "in_sandbox.py"), f"{home}/h", *suite]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=env)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
