"""How tests reach the endpoint for AWS's APIs of a mesh.

Rule: it is found as a user's shell finds it, by the files of the mesh's directory; nothing of a client is imported here.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tsunagu.aws.signatures import keys
from tsunagu.testing.errors import MeshError

if TYPE_CHECKING:
    from tsunagu.settings import Home

_POLL = 0.02
_REGION = "us-east-1"


def wait_endpoint(home: Home, timeout: float) -> dict[str, str]:
    """Return the arguments of `boto3.client`, once the endpoint listens. Raises MeshError."""
    deadline = time.monotonic() + timeout
    while not home.aws_endpoint.exists():
        if time.monotonic() > deadline:
            raise MeshError(f"no AWS endpoint after {timeout:g} s; a mesh has one with aws=True; see {home.log('web')}")
        time.sleep(_POLL)
    at, pair = json.loads(home.aws_endpoint.read_text()), keys.read(home.aws_keys)
    return {
        "endpoint_url": f"http://tsunagu@{at['host']}:{at['port']}",
        "region_name": _REGION,
        "aws_access_key_id": pair.access_key_id,
        "aws_secret_access_key": pair.secret_access_key,
    }
