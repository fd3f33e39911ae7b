"""Images that are built of a folder, by a real engine and Docker's own command: `kind: Image` with `build`."""

import json

import pytest

from tests.e2e.both_runtimes import service
from tests.e2e.commands import tsunagu
from tests.e2e.shop import running
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]
SERVE = "import http.server; http.server.HTTPServer(('', 80), http.server.SimpleHTTPRequestHandler).serve_forever()"


@pytest.fixture(scope="module")
def folder(engine, tmp_path_factory):
    """A folder with a Dockerfile, and the manifests beside it."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "web").mkdir()
    (folder / "web" / "word").write_text("first")
    recipe = f"FROM {engine.base}\nWORKDIR /site\nCOPY word .\nCMD {json.dumps(['python3', '-c', SERVE])}\n"
    (folder / "web" / "Dockerfile").write_text(recipe)
    documents = [{"kind": "Namespace", "name": "shop"}, *service("plain", "acme/web:1")]
    documents.append({"kind": "Image", "pattern": "acme/web:*", "build": "./web"})
    (folder / "mesh.yaml").write_text("\n---\n".join(map(json.dumps, documents)))
    return folder


@pytest.fixture(scope="module")
def mesh(engine, folder):
    with Mesh(folder / "mesh.yaml", environment=engine.environment) as mesh:
        mesh.wait_steady(90)
        yield mesh


def test_a_folder_is_built_before_the_tasks_that_run_it(mesh):
    (node,) = mesh.objects("Node")
    assert node.node.runtime == "docker"
    assert mesh.call("http://plain/word", from_task="plain").text == "first"


@pytest.mark.slow("an image is built anew, and containers of it are started")
def test_what_has_changed_is_taken_over_by_a_restart(mesh, folder):
    before = running(mesh, "plain")
    (folder / "web" / "word").write_text("second")
    tsunagu(mesh, "restart", "plain")
    mesh.wait_until(
        lambda: len(running(mesh, "plain") - before) == 2 and not running(mesh, "plain") & before, 60, "new tasks"
    )
    mesh.wait_converged()
    assert mesh.call("http://plain/word", from_task="plain").text == "second"


@pytest.mark.slow("a task has to fail, and Docker's command says why")
def test_a_folder_that_cannot_be_built_says_why(mesh, folder):
    recipe = (folder / "web" / "Dockerfile").read_text()
    (folder / "web" / "Dockerfile").write_text(recipe + "COPY nosuch .\n")
    try:
        tsunagu(mesh, "restart", "plain")
        why = "CannotPullContainerError: .*/web cannot be built: .*nosuch"

        def told() -> bool:
            return any(
                "cannot be built" in task.task.status.stopped_reason for task in mesh.tasks("plain", stopped=True)
            )

        mesh.wait_until(told, 60, why)
        reasons = [task.task.status.stopped_reason for task in mesh.tasks("plain", stopped=True)]
        assert any("nosuch" in reason for reason in reasons)
        assert len(running(mesh, "plain")) == 2  # those that run go on
    finally:
        (folder / "web" / "Dockerfile").write_text(recipe)
