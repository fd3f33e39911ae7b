"""Faster imports: public names are imported at their first use (PEP 562), and a library's optional imports can be skipped.

The one rule: type checkers do not see `getattr_of`. The package imports the same names under `TYPE_CHECKING`, so a wrong name
is an error for them, and a test compares the two lists.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def getattr_of(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for `package`. `homes`: public name -> the module that defines it, or that it is."""

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
    """Let imports inside the block find `library` not installed, unless it is imported already. Not for two threads at once."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # the import system takes None for a module that does not exist
    try:
        yield
    finally:
        del sys.modules[library]


@contextmanager
def bare(package: str) -> Iterator[None]:
    """Let imports inside the block get submodules of `package` without executing its `__init__`. Not for two threads at once.

    A later import of the package itself executes it, and finds the same submodules. Raises ModuleNotFoundError.
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
