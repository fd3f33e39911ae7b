"""What users import: every public name is there, is lazy, and is imported by the pages as they should do it."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tsunagu
import tsunagu.testing
from tsunagu.serve.library import xds_server

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("package", [tsunagu, tsunagu.testing], ids=lambda package: package.__name__)
def test_every_public_name_can_be_had(package):
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


def test_the_package_has_all_that_the_library_offers():
    assert set(tsunagu.__all__) == {*xds_server.__all__, "__version__", "testing"}


@pytest.mark.parametrize("package", ["tsunagu", "tsunagu.testing", "tsunagu.testing.plugin"])
def test_importing_it_imports_no_library(package):
    code = f"import sys, types, typing; import {package}; print(*sys.modules)"
    if package.endswith("plugin"):
        code = f"import pytest; {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded & {"grpc", "google.protobuf", "h11", "pydantic", "structlog", "typer"} == set()
    assert {name for name in loaded if name.startswith("tsunagu.")} <= {
        "tsunagu.kit",
        "tsunagu.kit.lazy",
        "tsunagu.kit.version",
        "tsunagu.testing",
        "tsunagu.testing.plugin",
    }


@pytest.mark.parametrize("page", ["library.md", "testing.md"])
def test_a_page_begins_with_imports_that_work(page):
    first, *others = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    assert first.startswith(("import ", "from "))
    for example in (first, *others):
        for line in re.findall(r"^(?:import|from) .+", example, re.MULTILINE):
            exec(line, {})


def test_the_version_is_that_of_the_installation():
    assert tsunagu.__version__ == importlib.import_module("importlib.metadata").version("tsunagu")
