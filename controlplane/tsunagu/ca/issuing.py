"""Decides who is given which certificate: what the registry knows of a task, never what it is asked for.

The one rule: a node agent has proven of which node it is, and is answered for the tasks of that node alone. Its request brings
a key; the ID is the task's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from tsunagu.ca import requests
from tsunagu.ca.authority import CannotSign
from tsunagu.ca.need import DEFAULT, authority_of
from tsunagu.ca.refusals import Away, BadAuthority, NotAuthenticated, NotNeeded, NotYours, TooOften
from tsunagu.kit.tokens import BadToken, verify
from tsunagu.model import identities
from tsunagu.model.statuses import Status
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from tsunagu.ca.files import AuthorityFiles
    from tsunagu.ca.need import State
    from tsunagu.model.identities import Identity
    from tsunagu.v1 import identities_pb2

LIFE: Final = 3600.0
_GONE: Final = frozenset({Status.DEPROVISIONING, Status.STOPPED})
_OFTEN: Final = (12, 60.0)  # requests of one task, in so many seconds


def node_token(node: str) -> str:
    """Return the name for which a node agent's token is made. No task has one that begins so: a cluster has no colon."""
    return f"node:{node}"


class Issuer:
    """Answers the requests of node agents, whose tokens are made with `key`. `life`: of a certificate, seconds."""

    def __init__(self, files: AuthorityFiles, key: bytes, life: float = LIFE) -> None:
        self._files = files
        self._key = key
        self._life = life
        self._asked: dict[str, deque[float]] = {}  # task -> when it was answered, within the last minute

    def issue(self, request: identities_pb2.IssueRequest, state: State, now: float) -> identities_pb2.IssueResponse:
        """Return a certificate. Raises Refused."""
        self._authenticate(request)
        name, identity, who = self._subject(request, state)
        key = requests.key_of(request.certificate_request)
        self._count(who, now)
        bundle = state["TrustBundle"][name].trust_bundle
        try:
            signer = self._files.signer(name, bundle.signs, now)
        except (BadAuthority, OSError) as error:
            raise Away(f"the key of the authority {name!r} that signs cannot be used: {error}") from error
        if signer is None:
            raise Away(f"the key of the authority {name!r} that signs is not here; it is being replaced")
        try:
            return signer.sign(key, identity, now, self._life).told(name)
        except CannotSign as error:
            raise Away(str(error)) from error

    def _authenticate(self, request: identities_pb2.IssueRequest) -> None:
        try:
            proven = verify(self._key, request.token)
        except BadToken as error:
            raise NotAuthenticated(f"node {request.node!r} has not proven who it is: {error}") from error
        if not request.node or proven != node_token(request.node):
            raise NotAuthenticated(f"the token is not that of node {request.node!r}")

    def _subject(self, request: identities_pb2.IssueRequest, state: State) -> tuple[str, Identity, str]:
        """The authority that signs, the ID, and who is counted."""
        if not request.task:
            self._check_namespace(request.namespace, state)
            domain = state["TrustBundle"][DEFAULT].trust_bundle.trust_domain
            host = identities.of_host(domain, request.namespace, request.node)
            return DEFAULT, host, f"{request.node}/{request.namespace}"
        found = state.get("Task", {}).get(request.task)
        if found is None or found.task.spec.node != request.node or found.task.status.last_status in _GONE:
            raise NotYours(f"node {request.node!r} runs no task {request.task!r}")
        spec = found.task.spec
        self._check_namespace(spec.namespace, state)
        name = authority_of(spec, state)
        domain = state["TrustBundle"][DEFAULT].trust_bundle.trust_domain
        found = state.get("ServiceRevision", {}).get(spec.service_revision)
        revision = found.service_revision if found is not None else objects_pb2.ServiceRevision()
        if spec.host and (revision.ports or not revision.host):
            raise NotYours(
                f"task {request.task!r} has not the identity of its machine: its service is not one that only calls"
            )
        family = revision.task_definition.family
        return name, identities.of_task(domain, spec, family), request.task

    def _check_namespace(self, namespace: str, state: State) -> None:
        bundle = state.get("TrustBundle", {}).get(DEFAULT)
        if bundle is None or namespace not in bundle.trust_bundle.namespaces:
            raise NotNeeded(f"namespace {namespace!r} speaks no TLS, so its tasks have no certificates")

    def _count(self, who: str, now: float) -> None:
        most, span = _OFTEN
        for name in [name for name, times in self._asked.items() if times[-1] <= now - span]:
            del self._asked[name]
        times = self._asked.setdefault(who, deque())
        while times and times[0] <= now - span:
            times.popleft()
        if len(times) >= most:
            raise TooOften(f"{who} was given {most} certificates within {span:g} s; ask again later")
        times.append(now)
