"""The test kit where one makes a mesh oneself: from text, in another cluster, and with an app that fails."""

import pytest

from tsunagu.testing import Mesh, MeshError

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ELSEWHERE = """
kind: Cluster
clusterName: prod
---
kind: Image
name: elsewhere
pattern: "elsewhere:*"
command: [python3, app.py]
---
kind: TaskDefinition
family: elsewhere
networkMode: awsvpc
memory: "128"
containerDefinitions:
- {name: app, image: "elsewhere:1", portMappings: [{name: http, containerPort: 80, appProtocol: http}]}
---
kind: Service
cluster: prod
serviceName: elsewhere
taskDefinition: elsewhere
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: elsewhere
  services: [{portName: http, clientAliases: [{port: 80, dnsName: elsewhere}]}]
"""

SERVER = """
import http.server
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
http.server.ThreadingHTTPServer(("0.0.0.0", 80), App).serve_forever()
"""


@pytest.mark.slow("a mesh of its own, in which no cluster is called default")
def test_text_is_relative_to_the_current_folder_and_any_cluster_can_publish(tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text(SERVER)
    (tmp_path / "cluster.yaml").write_text("kind: Cluster\nclusterName: prod\n")
    monkeypatch.chdir(tmp_path)
    with Mesh("cluster.yaml") as mesh:
        mesh.apply(text=ELSEWHERE)
        mesh.wait_steady()
        mesh.publish("elsewhere:80")
        assert mesh.call("http://elsewhere/").status == 204
        assert [obj.meta.name for obj in mesh.objects("Cluster")] == ["prod"]


FAILING = ELSEWHERE.replace("[python3, app.py]", '[sh, -c, "echo no database at db:5432; exit 3"]')


def test_an_error_in_a_mesh_has_the_containers_last_lines_first_and_once():
    def fails():
        with Mesh() as mesh:
            mesh.apply(text=FAILING)
            mesh.wait_until(lambda: steady(mesh), 60, "the end of a first task")

    def steady(mesh):
        """Raises when the reason is the container's: a busy machine takes its time to start one."""
        try:
            mesh.wait_steady(0)
        except MeshError as error:
            if "no database" in str(error):
                raise
            return False
        return True

    with pytest.raises(MeshError, match="last line of app: no database at db:5432") as caught:
        fails()
    [note] = caught.value.__notes__
    assert note.count("up.out") == 1
    assert "| no database" not in note, "`up` shows what containers write, and here it would be the second time"
    assert note.index("no database at db:5432") < note.index("up.out") < note.index("serve.log")
    assert "no database" not in str(caught.value).partition("last line")[0]
