"""examples/03-database: its demo, shorter. `test_docs_commands` runs all of its README."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import needs

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

EXAMPLE = Path(__file__).parents[2] / "examples" / "03-database"


@pytest.fixture
def example(tmp_path):
    """A copy, since the database's folder is beside it."""
    needs.postgresql()
    return shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("database", "__pycache__"))


@pytest.mark.slow("the database is started five times, and its clients wait for it")
def test_no_order_is_lost_while_the_database_is_replaced_and_killed(example):
    environment = {**os.environ, "ROUNDS": "2"}
    command = [sys.executable, "demo.py"]
    done = subprocess.run(
        command, cwd=example, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [(confirmed, failed, there)] = re.findall(
        r"(\d+) orders confirmed, (\d+) failed, (\d+) in the database", done.stdout
    )
    assert int(confirmed) == int(there) > 100
    assert failed == "0"
    assert len(re.findall(r"the database was (?:replaced|killed)", done.stdout)) == 4
