"""What users (and our own tests and demo) test with: a whole mesh, load on it, a scripted proxy, a clock moved by hand.

Rule: public, documented in docs/testing.md, and cheap to import: pytest loads this package's plugin wherever tsunagu is
installed, so each name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from tsunagu.kit.lazy import getattr_of

if TYPE_CHECKING:
    from tsunagu.kit.http import Response
    from tsunagu.testing.call import CallFailed, Executed
    from tsunagu.testing.clock import ManualClock
    from tsunagu.testing.errors import MeshError, NotConverged, RequestRefused, UnknownName
    from tsunagu.testing.fake_proxy import FakeProxy, StreamEnded, Update
    from tsunagu.testing.load import Load, Plan, Report
    from tsunagu.testing.mesh import Mesh
    from tsunagu.testing.processes import Processes

__all__ = [
    "CallFailed", "Executed", "FakeProxy", "Load", "ManualClock", "Mesh", "MeshError", "NotConverged", "Plan",
    "Processes", "Report", "RequestRefused", "Response", "StreamEnded", "UnknownName", "Update",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = getattr_of(
        __name__,
        {
            "CallFailed": "tsunagu.testing.call",
            "Executed": "tsunagu.testing.call",
            "FakeProxy": "tsunagu.testing.fake_proxy",
            "Load": "tsunagu.testing.load",
            "ManualClock": "tsunagu.testing.clock",
            "Mesh": "tsunagu.testing.mesh",
            "MeshError": "tsunagu.testing.errors",
            "NotConverged": "tsunagu.testing.errors",
            "Plan": "tsunagu.testing.load",
            "Processes": "tsunagu.testing.processes",
            "Report": "tsunagu.testing.load",
            "RequestRefused": "tsunagu.testing.errors",
            "Response": "tsunagu.kit.http",
            "StreamEnded": "tsunagu.testing.fake_proxy",
            "UnknownName": "tsunagu.testing.errors",
            "Update": "tsunagu.testing.fake_proxy",
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
