"""Files as one gives them to AWS (task definition + service), brought up unchanged: only an Image map is added."""

from pathlib import Path

import pytest

from tsunagu.model.envfile import read_env
from tsunagu.model.manifests.formats import Source
from tsunagu.testing import Mesh

PAIRS = Path(__file__).parents[2] / "examples" / "aws-pairs"
FOLDERS = sorted(path for path in PAIRS.iterdir() if (path / "service.json").exists())

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pairs():
    """All five pairs in one mesh, with the Image map and the secrets' values."""
    env = PAIRS / "env"
    with Mesh(
        *FOLDERS, PAIRS / "images.yaml", secrets=read_env(Source(str(env), env.read_text())), start_timeout=60
    ) as mesh:
        mesh.wait_steady(120)
        yield mesh


def test_there_are_five_pairs():
    assert len(FOLDERS) == 5


def test_every_service_runs_what_it_should(pairs: Mesh):
    services = {obj.meta.name: obj.service.status for obj in pairs.objects("Service")}
    assert len(services) == 5
    assert {name: status.running_count for name, status in services.items()} == {
        name: status.desired_count for name, status in services.items()
    }
    assert not any(status.reason for status in services.values())


@pytest.mark.parametrize(
    ("url", "caller"),
    [
        ("http://web/", "storefront/orders-api"),
        ("http://orders:8080/healthz", "storefront/web"),
    ],
)
def test_a_service_answers_by_its_alias(pairs: Mesh, url: str, caller: str):
    assert pairs.call(url, from_task=caller).status == 200


def test_the_api_reaches_its_database_with_its_secret(pairs: Mesh):
    answer = pairs.call("http://orders:8080/orders", from_task="storefront/web").json()
    assert answer["orders"] == "1 SELECT count FROM orders"
    assert answer["timeout"] == "30000", "perRequestTimeoutSeconds of the service is what callers' proxies keep"
    task = pairs.tasks("storefront/orders-api")[0].meta.name
    shown = pairs.execute(task, "python3", "-c", "import os; print(os.environ['DATABASE_PASSWORD'])", container="api")
    assert shown.stdout.strip() == b"correct-horse"
