"""docs/ci.md: its test is run as it stands there, by a project of a user's, and its workflow is read."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "01-shop"
PAGE = ROOT / "docs" / "ci.md"
#: The page's files are AWS's JSON; of the shop there is YAML of the same shape.
NEXT = "next/orders.json", "next/orders.yaml"


def block(language):
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return found


@pytest.mark.slow("a mesh of containers is started, and one of its services replaced under load")
def test_the_recipe_is_a_test_that_passes(engine, tmp_path):
    assert engine.shop
    assert NEXT[0] in block("python")
    (tmp_path / "test_shop.py").write_text(block("python").replace(*NEXT))
    (tmp_path / "ecs").mkdir()
    (tmp_path / "next").mkdir()
    shutil.copy(SHOP / "shop.yaml", tmp_path / "ecs")
    shutil.copytree(SHOP / "apps", tmp_path / "ecs" / "apps")
    shutil.copy(SHOP / "changes" / "orders-version-2.yaml", tmp_path / NEXT[1])
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        line, cwd=tmp_path, env=engine.environment, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "1 passed" in done.stdout


def test_the_workflow_is_one_whose_steps_have_names_or_commands():
    workflow = YAML(typ="safe").load(block("yaml"))
    steps = workflow["jobs"]["end-to-end"]["steps"]
    assert all({"uses", "run"} & set(step) for step in steps)
    commands = "\n".join(step.get("run", "") for step in steps)
    assert "tsunagu doctor" in commands
    assert "label=tsunagu.mesh" in commands
