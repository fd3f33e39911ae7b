"""The contract of runtimes (`runtime_suite`), held by the linux runtime: inside a sandbox, as ourselves and as nobody."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from node_agent import probe

sys.path.insert(0, str(Path(__file__).parent))
from plain_user import User, ourselves, somebody_else

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.mark.parametrize("who", [ourselves, somebody_else], ids=["ourselves", "plain-user"])
def test_the_linux_runtime_keeps_the_contract(who):
    user: User = who()
    if user.why:
        pytest.skip(user.why)
    found = probe.findings()
    if not probe.usable(found):
        pytest.skip("; ".join(f"{one.name}: {one.detail}" for one in found if one.needed and not one.ok))
    # Not below pytest's own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="tsunagu-") as folder:
        home = user.own(Path(folder))
        options = ["-q", "-x", "-c", str(ROOT / "pyproject.toml"), f"--basetemp={home}/t"]
        suite = [user.python, "-m", "pytest", *options, str(HERE / "runtime_suite.py")]
        command = [user.python, str(HERE / "in_sandbox.py"), str(home / "h"), *suite]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, **user.options())
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
