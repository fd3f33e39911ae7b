"""A mesh of two services and a caller, for the tests of what Routes, TrafficPolicies and weights do to real traffic."""

import json
import math
import sys
from pathlib import Path

from tsunagu.model.ids import task_id
from tsunagu.v1 import objects_pb2

APPS = Path(__file__).parent / "traffic_apps.py"
PATIENCE = 60.0  # seconds for what happens in one or two

_HEAD = f"""
{{kind: Namespace, name: lab}}
---
kind: Image
pattern: lab/app
command: [{sys.executable}, {APPS}, serve]
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
kind: Service
serviceName: caller
taskDefinition: caller
desiredCount: 1
serviceConnectConfiguration: {{enabled: true, namespace: lab}}
"""

_SERVICE = """
---
kind: TaskDefinition
family: %(name)s
networkMode: awsvpc
containerDefinitions:
- name: app
  image: lab/app
  environment: [{name: VERSION, value: "%(version)s"}, {name: HOLD, value: "%(hold)s"}]
  portMappings:
  - {name: %(name)s, containerPort: 8080, appProtocol: http}
  - {name: %(name)s-rpc, containerPort: 9000, appProtocol: grpc}
  - {name: %(name)s-raw, containerPort: 7000}
---
kind: Service
serviceName: %(name)s
taskDefinition: %(name)s
desiredCount: %(count)s
deploymentConfiguration: {minimumHealthyPercent: 100, maximumPercent: 150}
serviceConnectConfiguration:
  enabled: true
  namespace: lab
  services:
  - {portName: %(name)s, clientAliases: [{port: 80, dnsName: %(name)s}]}
  - {portName: %(name)s-rpc, clientAliases: [{port: 9000, dnsName: %(name)s}]}
  - {portName: %(name)s-raw, clientAliases: [{port: 7000, dnsName: %(name)s}]}
"""


def lab(*services):
    """The manifests of a caller and of these services."""
    return _HEAD + "".join(services)


def service(name, version="", count=1, hold=""):
    return _SERVICE % {"name": name, "version": version or name, "count": count, "hold": hold}


# -- traffic objects --------------------------------------------------------------------------------------------------


def route(name, members, alias="blue"):
    return f"{{kind: Route, name: lab/{name}, alias: {alias}, {members}}}"


def policy(name, members):
    return f"{{kind: TrafficPolicy, name: lab/{name}, {members}}}"


def apply(mesh, *manifests):
    """Apply, and wait until every proxy has it."""
    mesh.apply(text="\n---\n".join(manifests))
    mesh.wait_converged()


def clear(mesh):
    """Delete all Routes and TrafficPolicies."""
    for kind in ("Route", "TrafficPolicy"):
        for obj in mesh.objects(kind):
            mesh.delete(kind, obj.meta.name)
    mesh.wait_converged()


def shift(mesh, name, weights, tested=""):
    """Set the shares of a service's revisions, as a deployment would."""

    def change(obj):
        made = [objects_pb2.RevisionWeight(revision=revision, weight=weight) for revision, weight in weights.items()]
        obj.service.status.traffic.CopyFrom(objects_pb2.ServiceTraffic(weights=made, test_revision=tested))

    mesh.apis.update("Service", f"default/{name}", change)
    mesh.wait_converged()


# -- calls and what Envoy says ----------------------------------------------------------------------------------------


def caller(mesh):
    return task_id(mesh.task("caller"))


def ask(mesh, url, **options):
    """One request of the caller."""
    return mesh.call(url, from_task=caller(mesh), **options)


def told(mesh, url, **options):
    """What the app says of the request that it got."""
    answer = ask(mesh, url + ("&" if "?" in url else "?") + "tell=1", **options)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def count(mesh, protocol, number, target):
    """How often each answer came, of so many calls of the caller."""
    done = mesh.execute(caller(mesh), sys.executable, str(APPS), protocol, str(number), target, timeout=240)
    return json.loads(done.text)


def within_six_sigma(found, number, share):
    """Whether a count is what one expects of that share of so many calls: by chance it is not once in a hundred million runs, and
    with three sigma it would be once in 370.
    """
    return abs(found - number * share) <= 6 * math.sqrt(number * share * (1 - share))


def stat(mesh, name, task=""):
    """A counter or gauge of the caller's Envoy; 0 if it was never used."""
    text = mesh.envoy(task or caller(mesh), "/stats").text
    values = (line.rpartition(": ")[2] for line in text.splitlines() if line.startswith(name + ": "))
    return int(next(values, "0"))


def flagged(mesh, flag):
    """How many of the caller's requests have ended with this response flag."""
    text = mesh.envoy(caller(mesh), "/stats?filter=^flagged.egress").text
    return sum(int(line.rpartition(": ")[2]) for line in text.splitlines() if f"flags.{flag}." in line)


def rules(mesh, alias="blue:80"):
    """The routes of an alias in the caller's Envoy."""
    dump = mesh.envoy(caller(mesh), "/config_dump?resource=dynamic_route_configs").json()
    found = [one["route_config"] for one in dump["configs"] if one["route_config"]["name"] == f"alias/lab/{alias}"]
    return found[0]["virtual_hosts"][0]["routes"]


def cluster(mesh, name):
    """An envoy cluster of the caller."""
    dump = mesh.envoy(caller(mesh), "/config_dump?resource=dynamic_active_clusters").json()
    return next(one["cluster"] for one in dump["configs"] if one["cluster"]["name"] == name)


def listener_updates(mesh):
    """How many listeners the caller's Envoy has changed or removed."""
    names = ("listener_modified", "listener_removed", "listener_in_place_updated")
    return sum(stat(mesh, f"listener_manager.{name}") for name in names)
