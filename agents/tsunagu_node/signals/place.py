"""Of which service a task is, for those who read what is counted of it, and where its Envoy is read."""

from tsunagu.v1 import signals_pb2
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.signals.reader import Place
from tsunagu_node.task.envoy import NAME as ENVOY
from tsunagu_node.task.envoy import Proxy
from tsunagu_node.task.spec import TaskSpec


def place_of(spec: TaskSpec, running: RunningTask, proxy: Proxy) -> Place:
    """Return the place of a task's Envoy."""
    return Place(source_of(spec), tuple(spec.revision.ports), proxy.admin, lambda: _started(running))


def source_of(spec: TaskSpec, *, relay: bool = False) -> signals_pb2.Source:
    """Return of which task readings are: of its Envoy, or, with `relay`, of its node's relay."""
    task = spec.task.spec
    return signals_pb2.Source(
        task=spec.name,
        cluster=task.cluster,
        service=task.service,
        gateway=task.gateway,
        revision=task.service_revision,
        namespace=spec.namespace,
        zone=task.zone,
        node=task.node,
        relay=relay,
    )


def _started(running: RunningTask) -> float | None:
    process = running.processes().get(ENVOY)
    return process.started or None if process is not None and process.code is None else None  # 0: not known yet
