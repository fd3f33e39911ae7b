"""A mesh full of faults for the tests of `tsunagu why`, and the question itself, asked without a process for each."""

import asyncio
import sys
from pathlib import Path

from tests.e2e.connect_manifests import offer, service, text
from tsunagu.cli.why import judge, steps
from tsunagu.cli.why import target as targets
from tsunagu.cli.why.gather.gather import Gathering
from tsunagu.client.connection import connected
from tsunagu.client.tasks import all_tasks

APP = Path(__file__).parent / "fault_app.py"
PORT = 8080


class Asked:
    """What `why` says: `kind`, `sentence`, `sure` and the rest of its verdict, with the facts behind it."""

    def __init__(self, facts):
        self.facts = facts
        self.judgement = judge.judge(facts)
        self.way = {step.name: step.state.value for step in steps.walk(facts)}
        self.kind = self.judgement.verdict.kind
        self.sentence = self.judgement.verdict.sentence
        self.sure = self.judgement.verdict.sure.value

    def __repr__(self):
        return f"{self.kind} ({self.sure}): {self.sentence}\n{self.way}\n{self.facts}"


def why(mesh, task, target, patience=4.0, *, ready=True):
    """The answer; with `ready` once the node is READY, which on a busy machine it is not always: its agent is then not asked."""
    if ready:
        mesh.wait_until(mesh.answers, 60, "a node that is READY")

    async def ask():
        async with connected(mesh.home) as link:
            chosen = (await all_tasks(link)).choose(task).task
            return Asked(await Gathering(link, chosen, targets.parse(target), patience).gathered())

    return asyncio.run(ask())


def definition(family, fault, *more, protocol="http", **fields):
    """A task definition whose app has a fault."""
    mapping = {"name": "main", "containerPort": PORT, **({} if protocol == "tcp" else {"appProtocol": protocol})}
    container = {
        "name": "app",
        "image": family,
        "command": [sys.executable, "-u", str(APP), fault, str(PORT), *more],
        "portMappings": [mapping],
        **fields,
    }
    return {
        "kind": "TaskDefinition",
        "family": family,
        "networkMode": "awsvpc",
        "memory": "512",
        "containerDefinitions": [container],
    }


def faulty(name, fault, *more, namespace="shop", connect=None, protocol="http", service_fields=None, **fields):
    """A service `name` with that fault behind NAME:80, and its task definition."""
    serves = {"namespace": namespace, "services": [offer("main", name, 80, discoveryName=name, **(connect or {}))]}
    return (
        definition(name, fault, *more, protocol=protocol, **fields),
        service(name, serves, **(service_fields or {})),
    )


def client(name, namespace="shop"):
    """A service that only calls."""
    return definition(name, "ok"), service(name, {"namespace": namespace})


__all__ = ["Asked", "client", "definition", "faulty", "offer", "service", "text", "why"]
