"""Where the collector reads a task's Envoy, and of which service it is."""

from tsunagu.v1 import signals_pb2
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.signals.reader import Place
from tsunagu_node.task.envoy import NAME as ENVOY
from tsunagu_node.task.envoy import Proxy
from tsunagu_node.task.spec import TaskSpec


def place_of(spec: TaskSpec, running: RunningTask, proxy: Proxy) -> Place:
    """Return the place of a task's Envoy."""
    task = spec.task.spec
    source = signals_pb2.Source(
        task=spec.name,
        cluster=task.cluster,
        service=task.service,
        gateway=task.gateway,
        revision=task.service_revision,
        namespace=spec.namespace,
        zone=task.zone,
        node=task.node,
    )
    return Place(source, tuple(spec.revision.ports), proxy.admin, lambda: _started(running))


def _started(running: RunningTask) -> float | None:
    process = running.processes().get(ENVOY)
    return process.started or None if process is not None and process.code is None else None  # 0: not known yet
