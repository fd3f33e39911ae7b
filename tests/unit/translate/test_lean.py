"""Messages without pydantic: the same bytes, in a process of their own since imports last."""

import os
import subprocess
import sys
from pathlib import Path

import pydantic.dataclasses

from tests.unit.translate.specimens import specimens
from tsunagu.translate.lean import lean_messages
from tsunagu.xds.resources import TYPES

HERE = str(Path(__file__).parent)

LEAN = """
import warnings
from tsunagu.translate.lean import lean_messages
with lean_messages():
    from specimens import specimens
from envoy_data_plane.envoy.config.route import v3
assert "__pydantic_validator__" not in vars(v3.Route)
warnings.catch_warnings = None  # who would change the process's filters now fails
for resource in specimens():
    print(resource.type_url, resource.name, resource.body.hex())
"""


def lean(script):
    command = [sys.executable, "-c", script]
    environment = os.environ | {"PYTHONPATH": HERE}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_every_kind_of_resource_has_the_same_bytes_without_a_touch_of_the_warning_filters():
    with_pydantic = [f"{one.type_url} {one.name} {one.body.hex()}" for one in specimens()]
    assert lean(LEAN).splitlines() == with_pydantic
    assert {TYPES[one.type_url].short for one in specimens()} == {"CDS", "EDS", "LDS", "RDS"}


def test_who_imports_pydantic_later_gets_it_as_it_is():
    made = pydantic.dataclasses.dataclass
    with lean_messages():
        assert pydantic.dataclasses.dataclass is not made
    assert pydantic.dataclasses.dataclass is made
