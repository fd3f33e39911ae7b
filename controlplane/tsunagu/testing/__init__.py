"""What users (and our own tests and demo) test with: a whole mesh, load on it, a scripted proxy, a clock moved by hand.

Rule: public, documented in docs/testing.md, and cheap to import: pytest loads this package's plugin wherever tsunagu is
installed, so each name is imported when it is first used.
"""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsunagu.kit.http import Response
    from tsunagu.testing.call import CallFailed, Executed
    from tsunagu.testing.clock import ManualClock
    from tsunagu.testing.fake_proxy import FakeProxy, StreamEnded, Update
    from tsunagu.testing.load import Load, Plan, Report
    from tsunagu.testing.mesh import Mesh, NotConverged
    from tsunagu.testing.processes import Processes
    from tsunagu.testing.running import MeshError

_HOMES = MappingProxyType(
    {
        "CallFailed": "call",
        "Executed": "call",
        "FakeProxy": "fake_proxy",
        "Load": "load",
        "ManualClock": "clock",
        "Mesh": "mesh",
        "MeshError": "running",
        "NotConverged": "mesh",
        "Plan": "load",
        "Processes": "processes",
        "Report": "load",
        "Response": "call",
        "StreamEnded": "fake_proxy",
        "Update": "fake_proxy",
    },
)
__all__ = [
    "CallFailed",
    "Executed",
    "FakeProxy",
    "Load",
    "ManualClock",
    "Mesh",
    "MeshError",
    "NotConverged",
    "Plan",
    "Processes",
    "Report",
    "Response",
    "StreamEnded",
    "Update",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
