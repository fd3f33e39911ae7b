"""Small images that stand where the public ones do: what their ENTRYPOINT, CMD, files and programs are to the files that use them.

No registry is reached, so each is made here under the very name that the task definition has for it.
"""

SERVER = """\
import http.server, json, os, sys, urllib.request

def serve(port, answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = answer(self.path, self.rfile.read(length)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

    http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()

def fetch(url, data=None):
    with urllib.request.urlopen(url, data, timeout=5) as response:
        return response.read().decode()

def of_task():
    return json.loads(fetch(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task"))
"""

COLLECTOR = """\
#!/usr/bin/python3
from server import *

config = next(word.partition("=")[2] for word in sys.argv[1:] if word.startswith("--config="))
exporter = open(config).read().strip()
seen = []

def answer(path, body):
    if path == "/v1/traces":
        seen.append(body.decode())
    return json.dumps({"exporter": exporter, "family": of_task()["Family"], "traces": seen})

serve(4318, answer)
"""

ORDERS = """\
from server import *

endpoint = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
serve(8080, lambda path, body: fetch(endpoint + "/v1/traces", b"span of " + path.encode()))
"""

AGENT = """\
#!/usr/bin/python3
from server import *

if sys.argv[1:] == ["health"]:
    sys.exit(0 if fetch("http://127.0.0.1:8126/info") else 1)

def answer(path, body):
    names = sorted(one["Name"] for one in of_task()["Containers"] if one["Type"] == "NORMAL")
    labels = {key: value for one in of_task()["Containers"] for key, value in (one.get("Labels") or {}).items()}
    return json.dumps({"containers": names, "service": labels.get("com.datadoghq.tags.service"), "key": os.environ["DD_API_KEY"]})

serve(8126, answer)
"""

STOCK = """\
from server import *

serve(9000, lambda path, body: fetch("http://localhost:8126/v0.4/traces", b"[]"))
"""

HEALTHCHECK = """\
#!/usr/bin/python3
import urllib.request
urllib.request.urlopen("http://127.0.0.1:4318/", timeout=2)
"""

#: name in the public file -> (recipe, context)
IMAGES = {
    "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.1": (
        """\
FROM BASE
COPY server.py awscollector healthcheck /
RUN mkdir /etc/ecs && echo awsxray > /etc/ecs/ecs-default-config.yaml
USER 4317:4317
ENTRYPOINT ["/awscollector"]
CMD ["--config=/etc/otel-config.yaml"]
""",
        {"server.py": SERVER, "awscollector": COLLECTOR, "healthcheck": HEALTHCHECK},
    ),
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com/orders:2024-11-05": (
        'FROM BASE\nWORKDIR /srv\nCOPY server.py app.py /srv/\nUSER 1000\nCMD ["python3", "app.py"]\n',
        {"server.py": SERVER, "app.py": ORDERS},
    ),
    "public.ecr.aws/docker/library/httpd:latest": (
        """\
FROM BASE
WORKDIR /usr/local/apache2
RUN mkdir htdocs
COPY httpd-foreground /usr/local/bin/
STOPSIGNAL SIGWINCH
CMD ["httpd-foreground"]
""",
        {
            "httpd-foreground": "#!/bin/sh\ntrap 'kill $!; exit 0' WINCH TERM\n"
            "python3 -m http.server 80 --directory /usr/local/apache2/htdocs &\nwait\n",
        },
    ),
    "public.ecr.aws/datadog/agent:latest": (
        'FROM BASE\nCOPY server.py agent /opt/datadog/\nENV PATH=/opt/datadog:/usr/bin:/bin\nENTRYPOINT ["agent"]\nCMD ["run"]\n',
        {"server.py": SERVER, "agent": AGENT},
    ),
    "ghcr.io/example/stock:3.2": (
        'FROM BASE\nWORKDIR /srv\nCOPY server.py app.py /srv/\nENTRYPOINT ["python3"]\nCMD ["app.py"]\n',
        {"server.py": SERVER, "app.py": STOCK},
    ),
}


def make(engine):
    """Build those that are not there, under their public names."""
    for name, (recipe, files) in IMAGES.items():
        engine.docker("tag", engine.image(name.rpartition("/")[2].partition(":")[0], recipe, files), name)
