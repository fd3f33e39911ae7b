"""--sidecar-image: an image of somebody else's with an Envoy in it, as Envoy's own project publishes them."""

import json
import os
import subprocess
import sys

import pytest

from tsunagu_node.runtime.docker.definition.site import mesh_name

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

#: Envoy and the libraries that it needs: no shell, no Python, and an entry point that must not matter.
ENVOY_ALONE = """\
FROM SIDECAR AS envoy
USER 0
RUN mkdir /alone && cp --dereference --parents /usr/local/bin/envoy \\
    $(/lib64/ld-linux-*.so.* --list /usr/local/bin/envoy | grep -o '/[^ ]*') /alone
FROM scratch
COPY --from=envoy /alone /
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]
"""
WEB = """\
kind: Namespace
name: shop
---
kind: TaskDefinition
family: web
containerDefinitions:
- {name: app, image: public.ecr.aws/tsunagu/shop-stock:1, portMappings: [{name: lines, containerPort: 3306}]}
---
kind: Service
serviceName: stock
taskDefinition: web
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: lines, clientAliases: [{port: 3306, dnsName: stock}]}]
"""


@pytest.fixture
def tsunagu(engine, tmp_path):
    """The command, on a home of this test; what runs at the end is ended."""
    environment = {**engine.environment, "TSUNAGU_HOME": str(tmp_path / "m"), "PATH": os.defpath}

    def run(*words, stdin=None):
        line = [sys.executable, "-m", "tsunagu.cli", *words]
        done = subprocess.run(
            line, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    yield run
    if (tmp_path / "m" / "up.pid").exists():
        run("down")


@pytest.mark.slow("a mesh of containers is started and drained")
def test_an_image_with_nothing_but_envoy_in_it_is_a_sidecar(engine, tsunagu, tmp_path):
    assert engine.shop
    alone = engine.image("tsunagu-test-envoy-alone", ENVOY_ALONE.replace("SIDECAR", engine.sidecar))
    tsunagu("up", "--detach", "--runtime", "docker", "--sidecar-image", alone, "-", stdin=WEB)
    labels = ("--filter", "label=tsunagu.process=envoy", "--filter", f"label=tsunagu.mesh={mesh_name(tmp_path / 'm')}")
    (envoy,) = engine.docker("ps", "--quiet", *labels).split()
    inspected = json.loads(engine.docker("inspect", envoy))[0]
    assert inspected["Config"]["Image"] == alone
    assert "/1.40." in json.loads(tsunagu("envoy", "stock", "/server_info"))["version"]
    said = tsunagu("exec", "stock", "--", "python3", "-c", ASK)
    assert said.startswith("apples 42 stock-")


#: Through the name, so through Envoy's listeners on both ways.
ASK = """\
import socket
with socket.create_connection(("stock", 3306), 5) as stock:
    stock.sendall(b"GET apples\\n")
    print(stock.recv(100).decode())
"""
