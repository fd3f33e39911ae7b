"""Messages without pydantic: the same bytes, in a process of their own since imports last."""

import subprocess
import sys

import pydantic.dataclasses

from controlplane.translate.lean import lean_messages
from controlplane.translate.warm import warm

LEAN = """
import sys
from controlplane.translate.lean import lean_messages
with lean_messages():
    from controlplane.translate.warm import warm
from envoy_data_plane.envoy.config.route import v3
assert "__pydantic_validator__" not in vars(v3.Route)
for resource in warm():
    print(resource.type_url, resource.name, resource.body.hex())
"""


def test_every_kind_of_resource_has_the_same_bytes():
    told = subprocess.run([sys.executable, "-c", LEAN], capture_output=True, text=True, check=True, timeout=60).stdout
    with_pydantic = [f"{one.type_url} {one.name} {one.body.hex()}" for one in warm()]
    assert told.splitlines() == with_pydantic


def test_who_imports_pydantic_later_gets_it_as_it_is():
    made = pydantic.dataclasses.dataclass
    with lean_messages():
        assert pydantic.dataclasses.dataclass is not made
    assert pydantic.dataclasses.dataclass is made
