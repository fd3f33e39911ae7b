"""A mesh with a service in containers and one of processes, each of which calls the other: manifests, for tests of both runtimes.

`boxed` runs in an image that nobody stands in for, `plain` by a command that an Image says. Each answers with its own name, and
at /other with what the other one answers.
"""

import json

#: Answers by its NAME, and at /other by that of OTHER, over connections that it keeps.
APP = """
import http.client, http.server, os, threading

kept = threading.local()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, body = self.ask() if self.path == "/other" else (200, os.environ["NAME"].encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def ask(self):
        for again in (True, False):
            if not getattr(kept, "connection", None):
                kept.connection = http.client.HTTPConnection(os.environ["OTHER"], 80, timeout=20)
            try:
                kept.connection.request("GET", "/")
                answer = kept.connection.getresponse()
                return answer.status, answer.read()
            except http.client.RemoteDisconnected:
                kept.connection = None
                if not again:
                    raise

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""
RECIPE = f"FROM BASE\nCMD {json.dumps(['python3', '-c', APP])}\n"
OTHER = {"boxed": "plain", "plain": "boxed"}
PLAIN_IMAGE = "acme/plain:1"


def service(name: str, image: str) -> list[dict]:
    app = {
        "name": "app",
        "image": image,
        "portMappings": [{"name": name, "containerPort": 80, "appProtocol": "http"}],
        "environment": [{"name": "NAME", "value": name}, {"name": "OTHER", "value": OTHER[name]}],
        "stopTimeout": 2,
    }
    connect = {"portName": name, "clientAliases": [{"port": 80, "dnsName": name}]}
    return [
        {"kind": "TaskDefinition", "family": name, "memory": "256", "containerDefinitions": [app]},
        {
            "kind": "Service",
            "serviceName": name,
            "taskDefinition": name,
            "desiredCount": 2,
            "serviceConnectConfiguration": {"enabled": True, "namespace": "shop", "services": [connect]},
        },
    ]


def manifests(image: str) -> str:
    stand_in = {"kind": "Image", "pattern": "acme/plain:*", "command": ["python3", "-c", APP]}
    documents = [
        {"kind": "Namespace", "name": "shop"},
        *service("boxed", image),
        *service("plain", PLAIN_IMAGE),
        stand_in,
    ]
    return "\n---\n".join(map(json.dumps, documents))
