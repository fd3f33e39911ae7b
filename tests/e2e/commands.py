"""Commands of `tsunagu` against a running mesh, as a user gives them."""

from __future__ import annotations

import os
import subprocess
import sys


def tsunagu(mesh, *arguments, code=0):
    """Run a command; return what it writes. It has to end with `code`."""
    result = subprocess.run(
        [sys.executable, "-m", "tsunagu.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TSUNAGU_HOME": str(mesh.home.root)},
    )
    assert result.returncode == code, (arguments, result.stdout, result.stderr)
    return result.stdout + result.stderr
