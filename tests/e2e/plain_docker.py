"""What an ordinary user of an engine's group does: `python plain_docker.py MESH_DIRECTORY IMAGE`. Raises when something is amiss.

The image has Python, and no command: nobody says that docker is to run it.
"""

import json
import os
import sys
from pathlib import Path

from tests.e2e.plain_shop import tsunagu

CONNECT = {
    "enabled": True,
    "namespace": "shop",
    "services": [{"portName": "http", "clientAliases": [{"port": 80, "dnsName": "web"}]}],
}
ASK = "import urllib.request; print(urllib.request.urlopen('{}', timeout=10).read().decode())"


def main(home: str, image: str) -> None:
    assert os.getuid() != 0
    app = {
        "name": "app",
        "image": image,
        "portMappings": [{"name": "http", "containerPort": 80, "appProtocol": "http"}],
    }
    documents = (
        {"kind": "Namespace", "name": "shop"},
        {"kind": "TaskDefinition", "family": "web", "memory": "256", "containerDefinitions": [app]},
        {
            "kind": "Service",
            "serviceName": "web",
            "taskDefinition": "web",
            "desiredCount": 1,
            "serviceConnectConfiguration": CONNECT,
        },
    )
    manifests = Path(home).with_suffix(".yaml")
    manifests.write_text("\n---\n".join(map(json.dumps, documents)))
    tsunagu("up", manifests, "--detach", home=home)
    assert "docker" in tsunagu("get", "nodes", home=home)
    assert "word" in tsunagu("exec", "web", "--", "python3", "-c", ASK.format("http://web/"), home=home)
    uri = tsunagu("exec", "web", "--", "sh", "-c", "echo $ECS_CONTAINER_METADATA_URI_V4", home=home).strip()
    assert "web" in tsunagu("exec", "web", "--", "python3", "-c", ASK.format(f"{uri}/task"), home=home)
    assert "alias/shop/web:80" in tsunagu("envoy", "web", "/listeners", home=home)
    tsunagu("down", home=home)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
