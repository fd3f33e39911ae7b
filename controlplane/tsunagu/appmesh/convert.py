"""App Mesh's own files as manifests of ours: Namespaces, TaskDefinitions, Services, TrafficPolicies, Routes and Gateways.

The one rule: the conversion is a pure function of the files' content. It converts a member, or says why it does not
(`classes`); what it cannot do is an issue with its place, never left out in silence.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tsunagu.appmesh import classes, gateways, nodes, reading, routes, task_definitions, tls
from tsunagu.appmesh.documents import Made, Report, without_empty
from tsunagu.appmesh.index import MeshIndex, index
from tsunagu.appmesh.names import port_name, slug
from tsunagu.appmesh.reading import Found
from tsunagu.model.errors import Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.appmesh.task_definitions import MeshTask

DROP_ALL: Final = "DROP_ALL"


@dataclass(frozen=True, slots=True)
class Conversion:
    """`documents` are what could be made. `errors` are faults of the files, `refused` members that would be missed."""

    documents: tuple[Made, ...]
    errors: tuple[Issue, ...]
    refused: tuple[Issue, ...]
    notes: tuple[Issue, ...]


def convert(files: Mapping[str, str]) -> Conversion:
    """Convert the content of files, by name."""
    report, errors = Report(), []
    found, tasks = [], []
    for file, text in files.items():
        content = reading.load(file, text)
        one = (
            content if isinstance(content, Issue) else reading.read(file, content) or task_definitions.of(file, content)
        )
        if isinstance(one, Issue):
            errors.append(one)
        elif isinstance(one, Found):
            found.append(one)
        elif one is not None:
            tasks.append(one)
        else:
            report.notes.append(Issue(file, 1, 1, "", "is nothing of App Mesh's, and was passed over"))
    errors += [issue for one in found for issue in reading.check(one)]
    if errors:
        return Conversion((), tuple(errors), (), tuple(report.notes))
    return _convert(found, tasks, report)


def _convert(found: list[Found], tasks: list[MeshTask], report: Report) -> Conversion:
    for one in found:
        for its, issue in classes.not_converted(one):
            (report.issues if its.verdict == classes.REFUSED else report.notes).append(issue)
    documents: list[Made] = []
    errors: list[Issue] = []
    for mesh in index(found).values():
        _unlike_names(mesh)
        of_mesh = [task for task in tasks if task.mesh == mesh.name]
        documents += _mesh(mesh, {task.name: task for task in of_mesh if task.kind == "virtualNode"}, report)
        errors += mesh.issues
    refused = dict.fromkeys(report.issues)
    return Conversion(tuple(documents), tuple(dict.fromkeys(errors)), tuple(refused), tuple(_once(report.notes)))


def _mesh(mesh: MeshIndex, tasks: Mapping[str, MeshTask], report: Report) -> Iterator[Made]:
    """The documents of a mesh, in the order in which they refer to each other."""
    mesh.tasks = frozenset(tasks)
    mesh.tls = tls.of_namespace(mesh)
    yield _namespace(mesh, tasks.values(), report)
    tls.check(mesh, report)
    known = nodes.aliases(mesh, report)
    virtual_nodes = [node for _, node in sorted(mesh.of("VirtualNode").items())]
    outside = [node for node in virtual_nodes if mesh.outside(node.name)]
    own = [node for node in virtual_nodes if node not in outside]
    for node in own:
        if node.name in tasks:
            yield task_definitions.convert(mesh, tasks[node.name], report)
        else:
            report.note(node.body, "virtualNodeName", _missing(mesh, node.name))
    for node in outside:
        yield from nodes.externals(mesh, node, known, report)
    for node in own:
        yield nodes.service(
            mesh, node, known, tasks[node.name].family if node.name in tasks else slug(node.name), report
        )
    for node in virtual_nodes:
        yield from nodes.policies(mesh, node, known, report)
    for node in own:
        yield from tls.access(mesh, node, report)
    for service in sorted(mesh.of("VirtualService")):
        kind, router = mesh.provider(service)
        if kind == "VirtualRouter":
            yield from routes.of_service(mesh, service, router, report)
    for name, found in sorted(mesh.of("VirtualGateway").items()):
        yield gateways.gateway(mesh, found, report)
        yield from gateways.routes(mesh, name, report)


def _namespace(mesh: MeshIndex, tasks: Iterable[MeshTask], report: Report) -> Made:
    described = mesh.of("Mesh").get(mesh.name)
    document: dict[str, Any] = without_empty({"kind": "Namespace", "name": mesh.name, "tls": mesh.tls})
    if described is None:
        return Made(document, f"mesh {mesh.name}")
    egress = described.spec.part("egressFilter").get("type", DROP_ALL)
    if egress == DROP_ALL:
        report.note(
            described.spec,
            "egressFilter",
            f"{DROP_ALL}, App Mesh's default: tasks reach nothing outside but AWS's own names",
        )
        report.issues += [_ignored(task, past) for task in tasks if (past := task_definitions.past_the_proxy(task))]
    return Made({**document, "egress": ["*.amazonaws.com"] if egress == DROP_ALL else "allow"}, described.origin)


def _ignored(task: MeshTask, past: str) -> Issue:
    why = f"what leaves past the proxy ({past}) would be refused by `egress` of the Namespace, as {DROP_ALL} becomes"
    return Issue(task.file, 1, 1, "proxyConfiguration", why, "add its names to `egress`, or make it an External")


def _missing(mesh: MeshIndex, node: str) -> str:
    ports = ", ".join(
        f"{port_name(mesh, node, port)} (containerPort {port}, {protocol})"
        for port, protocol in mesh.ports(node).items()
    )
    named = f" with the named ports {ports}" if ports else ""
    return f"its task definition is not among the files: write {slug(node)}{named}"


def _unlike_names(mesh: MeshIndex) -> None:
    """Two virtual nodes, or gateways, whose names would become one are an issue."""
    for kind in ("VirtualNode", "VirtualGateway"):
        taken: dict[str, str] = {}
        for name, found in mesh.of(kind).items():
            other = taken.setdefault(slug(name), name)
            if other != name:
                mesh.issues.append(
                    found.body.issue(reading.KINDS[kind], f"{name} and {other} would both be called {slug(name)}")
                )


def _once(notes: Iterable[Issue]) -> Iterator[Issue]:
    """Each remark once, with how many more places there are."""
    notes = list(notes)
    counts: Counter[Any] = Counter((one.message, one.path.rpartition(".")[2]) for one in notes)
    seen = set()
    for one in notes:
        key = (one.message, one.path.rpartition(".")[2])
        if key not in seen:
            seen.add(key)
            more = f" (and at {counts[key] - 1} more places)" if counts[key] > 1 else ""
            yield Issue(one.file, one.line, one.column, one.path, one.message + more)
