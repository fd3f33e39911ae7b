"""Imports that are put off, or left out: public names when they are first used (PEP 562), what a library imports beside what is needed never.

Rule: type checkers do not see `getattr_of`. The package imports the same names under `TYPE_CHECKING`, so that a name that
does not exist is an error for them, and a test holds the two lists equal.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


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


@contextmanager
def absent(library: str) -> Iterator[None]:
    """Whatever is imported inside finds `library` not installed, unless it has been imported already. Not for two threads."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # so the import system is told: there is none
    try:
        yield
    finally:
        del sys.modules[library]


@contextmanager
def bare(package: str) -> Iterator[None]:
    """Submodules of `package` that are imported inside come without what its `__init__` would import. Not for two threads.

    Raises ModuleNotFoundError. Whoever imports the package itself afterwards gets all of it, with the same submodules.
    """
    from importlib.util import find_spec, module_from_spec  # noqa: PLC0415 - every import of tsunagu would pay for it

    spec = None if package in sys.modules else find_spec(package)
    if package not in sys.modules and spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    if spec is None:
        yield
        return
    sys.modules[package] = module_from_spec(spec)  # and not executed
    try:
        yield
    finally:
        del sys.modules[package]
