"""What some tests need of the machine beyond tsunagu's own needs. Without it they are skipped, and with `CI` set they fail."""

import os
import shutil
from pathlib import Path

import pytest


def postgresql():
    """Debian has its server's programs in a folder of each version, not on PATH."""
    if not shutil.which("postgres") and not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        _without("PostgreSQL is not installed (apt install postgresql)")


def _without(reason):
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
