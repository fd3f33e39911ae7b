"""What a process of a mesh imports before it can do its work: each of these libraries would make everybody wait."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "libraries"),
    [
        ("tsunagu.cli.commands.up", ("grpc", "h11", "rich", "ruamel", "structlog", "tsunagu.model.ids", "tsunagu.xds")),
        ("tsunagu.cli.local.control_plane", ("envoy_data_plane", "pydantic", "rich", "ruamel", "typer")),
        ("tsunagu_node.runtime.linux.launcher", ("asyncio", "grpc", "pyroute2", "structlog")),
        ("tsunagu_node.main", ("psutil", "pydantic", "pyroute2.ndb", "rich", "ruamel", "typer")),
    ],
)
def test_a_process_starts_without_what_it_does_not_need_at_once(module, libraries):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(libraries) & set(done.stdout.split()) == set()
