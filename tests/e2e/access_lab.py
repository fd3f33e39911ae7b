"""A mesh with TLS, of a server and two callers, for the tests of who may call whom."""

import json
import sys
from pathlib import Path

from tests.golden.traffic import written
from tsunagu.mesh.access import questions
from tsunagu.mesh.access.words import Call
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.model.ids import task_id

APPS = Path(__file__).parent / "access_apps.py"
PATIENCE = 60.0  # seconds for what happens in one or two
SERVER = "default/orders"

MANIFESTS = f"""
{{kind: Namespace, name: lab, tls: strict}}
---
kind: Image
pattern: lab/server
command: [{sys.executable}, {APPS}, serve]
---
kind: Image
pattern: lab/holder
command: [{sys.executable}, {APPS}, hold]
---
kind: Image
pattern: lab/caller
command: [sleep, infinity]
---
kind: TaskDefinition
family: caller
networkMode: awsvpc
containerDefinitions: [{{name: app, image: lab/caller}}]
---
kind: TaskDefinition
family: holder
networkMode: awsvpc
containerDefinitions: [{{name: app, image: lab/holder}}]
---
kind: TaskDefinition
family: orders
networkMode: awsvpc
containerDefinitions:
- name: app
  image: lab/server
  portMappings:
  - {{name: http, containerPort: 8080, appProtocol: http}}
  - {{name: rpc, containerPort: 9000, appProtocol: grpc}}
  - {{name: raw, containerPort: 7000}}
---
kind: Service
serviceName: orders
taskDefinition: orders
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: lab
  services:
  - {{portName: http, clientAliases: [{{port: 80, dnsName: orders}}]}}
  - {{portName: rpc, clientAliases: [{{port: 9000, dnsName: orders}}]}}
  - {{portName: raw, clientAliases: [{{port: 7000, dnsName: orders}}]}}
---
{{kind: Service, serviceName: web, taskDefinition: caller, desiredCount: 1, serviceConnectConfiguration: {{enabled: true, namespace: lab}}}}
---
{{kind: Service, serviceName: holder, taskDefinition: holder, desiredCount: 1, serviceConnectConfiguration: {{enabled: true, namespace: lab}}}}
---
{{kind: Service, serviceName: webs, taskDefinition: caller, desiredCount: 1, serviceConnectConfiguration: {{enabled: true, namespace: lab}}}}
"""


def policy(name, allow, ports="", mode="enforce"):
    to = f"service: orders{f', ports: [{ports}]' if ports else ''}"
    return f"{{kind: AccessPolicy, name: lab/{name}, mode: {mode}, to: {{{to}}}, allow: [{allow}]}}"


def put(mesh, *policies):
    """Have these policies and no others, and wait until every proxy has them."""
    wanted = {obj.meta.name: obj for text in policies for obj in written(text)}
    if wanted:
        mesh.apis.batch(wanted.values())
    for obj in mesh.objects("AccessPolicy"):
        if obj.meta.name not in wanted:
            mesh.delete("AccessPolicy", obj.meta.name)
    mesh.wait_converged()


def made(mesh, service, calls, program=(sys.executable, str(APPS))):
    """What became of calls that a service's task makes by `program`, which is access_apps.py there: "taken", "refused", or neither."""
    caller = task_id(mesh.task(service))
    asked = json.dumps([{"host": "orders", **call} for call in calls])
    done = mesh.execute(caller, *program, "ask", stdin=asked.encode(), timeout=120)
    return json.loads(done.text)


def meant(mesh, service, calls):
    """What the verdicts say of the same calls."""
    view = view_of(mesh)
    ports = {"http": 80, "grpc": 9000, "tcp": 7000}
    found = []
    for call in calls:
        alias = view.alias("lab", "orders", ports[call["kind"]])
        asked = Call(f"/ns/lab/cluster/default/service/{service}", call.get("method", "POST"), call.get("path", ""))
        (answer,) = questions.ask(view, alias, asked)
        found.append("taken" if answer.verdict.allowed else "refused")
    return found


def view_of(mesh):
    """The mesh as the registry has it."""
    return View.empty().apply([(ids.kind_of(obj), obj.meta.name, None, obj) for obj in mesh.objects()], 1)[0]


def http(method, path):
    return {"kind": "http", "method": method, "path": path}


def grpc(path):
    return {"kind": "grpc", "path": path}


TCP = {"kind": "tcp"}


def stat(mesh, service, name):
    """A counter of a task's Envoy; 0 if it does not mention it."""
    found = mesh.envoy(task_id(mesh.task(service)), f"/stats?format=json&filter=^{name}$").json()["stats"]
    return sum(one["value"] for one in found if one.get("name"))
