"""Prints the oldest libraries that pyproject.toml allows, as constraints for pip: what `make floor` tests with.

The one rule: a lower bound is a promise that somebody has tested. What needs a newer library raises the bound.
"""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_BOUND = re.compile(r"^(?P<name>[\w.-]+)(>=|==)(?P<version>[\w.]+)")


def oldest(requirement: str) -> str:
    """`grpcio>=1.76,<2` -> `grpcio==1.76`. Raises ValueError when there is no lower bound."""
    bound = _BOUND.match(requirement)
    if bound is None:
        raise ValueError(f"{PYPROJECT.name}: {requirement!r} begins with no lower bound; write NAME>=VERSION")
    return f"{bound['name']}=={bound['version']}"


def main() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in (*project["dependencies"], *extras["mesh"], *extras["aws"]):
        print(oldest(requirement))


if __name__ == "__main__":
    main()
