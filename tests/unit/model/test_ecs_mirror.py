"""The mirror of AWS's shapes is what the installed botocore says."""

import subprocess
import sys
from pathlib import Path

from tsunagu.model.ecs_fields import reachable_fields
from tsunagu.model.rules.ecs_constraints import ANSWERED, ENUMS, REQUIRED, UNIONS

MIRROR = Path(__file__).parents[3] / "proto" / "ecs_mirror.py"


def test_the_mirror_is_that_of_the_installed_botocore():
    run = subprocess.run([sys.executable, MIRROR, "--check"], capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stdout) == (0, "")


def test_the_tables_name_members_of_the_schema():
    schema = {f"{message}.{field}" for message, field in reachable_fields()}
    messages = {name.partition(".")[0] for name in schema}
    assert set(ENUMS) <= schema
    assert {f"{message}.{field}" for message, wanted in REQUIRED.items() for field in wanted} <= schema
    assert {*UNIONS, *ANSWERED} <= messages


def test_values_that_proto_enums_cannot_hold_are_kept():
    assert "json-file" in ENUMS["LogConfiguration.logDriver"]
