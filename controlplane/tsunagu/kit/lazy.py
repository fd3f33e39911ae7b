"""Public names of a package that are imported when they are first used (PEP 562).

Rule: type checkers do not see this function. The package imports the same names under `TYPE_CHECKING`, so that a name
that does not exist is an error for them, and a test holds the two lists equal.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def getattr_of(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of `package`. `homes`: name -> the module that defines it; a module's own name is that module."""

    def __getattr__(name: str) -> Any:  # noqa: N807 - it is the module's
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        module = import_module(homes[name])
        value = module if homes[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
