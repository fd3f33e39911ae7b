"""Manifests for the tests of Service Connect's fields, as plain values: each test writes only the fields that it is about."""

import json
import sys
from pathlib import Path

APP = Path(__file__).parent / "echo_app.py"


def text(*documents):
    """The manifests as one text; JSON is YAML."""
    return "\n---\n".join(map(json.dumps, documents))


def definition(family, *ports, **more):
    """A task definition whose app listens at ports, each (name, protocol, containerPort); `raw` is a port without appProtocol."""
    listens = [f"{protocol}:{number}" for _, protocol, number in ports]
    container = {
        "name": "app",
        "image": family,
        "command": [sys.executable, str(APP), *listens],
        "portMappings": [port(*one) for one in ports],
    }
    return {
        "kind": "TaskDefinition",
        "family": family,
        "networkMode": "awsvpc",
        "memory": "512",
        "containerDefinitions": [container],
        **more,
    }


def port(name, protocol, number):
    """A port mapping."""
    mapping = {"name": name, "containerPort": number}
    return mapping if protocol == "raw" else {**mapping, "appProtocol": protocol}


def service(name, connect=None, **more):
    """A service of one task, of the family of the same name; `connect`: fields of serviceConnectConfiguration."""
    configuration = {"enabled": True, **(connect or {})}
    return {
        "kind": "Service",
        "serviceName": name,
        "taskDefinition": name,
        "desiredCount": 1,
        "serviceConnectConfiguration": configuration,
        **more,
    }


def offer(port_name, dns_name="", number=80, **more):
    """An entry of `services`, with an alias if it has a name for it."""
    aliases = {"clientAliases": [{"port": number, "dnsName": dns_name}]} if dns_name else {}
    return {"portName": port_name, **aliases, **more}
