"""The pairs of examples/aws-pairs validate, plan and resolve without a fault, each by itself and all at once."""

import ast
from pathlib import Path

import pytest

from tsunagu.model.envfile import read_env
from tsunagu.model.manifests.formats import Document, Source, read
from tsunagu.model.plan import Plan, plan
from tsunagu.model.revisions import resolve
from tsunagu.model.rules.validate import check_batch, state_after

FOLDER = Path(__file__).parents[3] / "examples" / "aws-pairs"
PAIRS = sorted(path for path in FOLDER.iterdir() if path.is_dir() and path.name != "apps")
SECRETS = read_env(Source("env", (FOLDER / "env").read_text()))


def documents(*folders: Path) -> tuple[Document, ...]:
    files = [path for folder in folders for path in sorted(folder.glob("*.json"))] + [FOLDER / "images.yaml"]
    return read([Source(str(path), path.read_text()) for path in files])


def planned(*folders: Path, state=None) -> Plan:
    found = documents(*folders)
    return plan(found, state or {}, secrets=SECRETS, folders={one.file: str(Path(one.file).parent) for one in found})


def applied(found: Plan, state=None, revision: int = 1):
    for change in found.changes:
        change.object.meta.revision = revision
    return state_after(state or {}, [change.object for change in found.changes])


def test_there_are_five_pairs_of_two_files():
    assert [sorted(path.name for path in pair.iterdir()) for pair in PAIRS] == [
        ["service.json", "task-definition.json"]
    ] * 5


@pytest.mark.parametrize("pair", PAIRS, ids=lambda path: path.name)
def test_a_pair_plans_and_resolves(pair: Path):
    found = planned(pair)
    assert found.issues == ()
    assert check_batch([change.object for change in found.changes], [], {}) == []
    state = applied(found)
    (service,) = state["Service"].values()
    name, revision = resolve(service, state)
    assert name.startswith(f"{service.meta.name}/")
    assert revision.connect
    assert revision.namespace == "storefront"
    for container in revision.task_definition.container_definitions:
        assert container.command or container.entry_point


@pytest.mark.parametrize("pair", PAIRS, ids=lambda path: path.name)
def test_a_pair_applied_again_changes_nothing(pair: Path):
    again = planned(pair, state=applied(planned(pair)))
    assert (again.changes, again.issues) == ((), ())
    assert any(one.startswith("Service ") for one in again.unchanged)


def test_all_pairs_go_together():
    found = planned(*PAIRS)
    assert found.issues == ()
    assert sum(change.kind == "Service" for change in found.changes) == 5


def test_a_log_router_is_left_out_with_what_waits_for_it():
    state = applied(planned(FOLDER / "02-api"))
    _, revision = resolve(state["Service"]["storefront/orders-api"], state)
    containers = {one.name: one for one in revision.task_definition.container_definitions}
    assert list(containers) == ["migrate", "api"]
    assert [one.container_name for one in containers["api"].depends_on] == ["migrate"]
    assert [(pair.name, pair.value) for pair in containers["api"].environment] == [
        ("PYTHONUNBUFFERED", "1"),
        ("DATABASE_HOST", "orders-db"),
        ("LOG_LEVEL", "info"),
    ]
    assert list(containers["migrate"].command) == ["python3", "apps/migrate.py", "--to", "latest"]
    assert containers["api"].working_directory == str(FOLDER)


def test_described_files_say_what_was_passed_over():
    found = planned(FOLDER / "04-greeter")
    assert any("registeredAt" in line for line in found.notes)
    assert any("deployments" in line for line in found.notes)
    assert any("greeter:9 is AWS's number; here it is greeter:1" in line for line in found.warnings)


def test_the_apps_need_only_the_standard_library():
    for path in (FOLDER / "apps").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.ImportFrom) or node.module == "http.server"
