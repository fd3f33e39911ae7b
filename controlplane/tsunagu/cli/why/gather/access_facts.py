"""What AccessPolicies say of the call that `why` looks at, by the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.cli.why import facts
from tsunagu.cli.why.gather.probe import GRPC_PATH
from tsunagu.mesh.access import questions
from tsunagu.mesh.access.words import Call
from tsunagu.model import identities

if TYPE_CHECKING:
    from tsunagu.cli.why.target import Target
    from tsunagu.mesh.access.questions import Answer
    from tsunagu.mesh.view import View
    from tsunagu.v1.objects_pb2 import Object


def access(view: View, task: Object, alias: facts.Alias, target: Target) -> facts.Access | None:
    """What is said of a task's call: where it is refused, if it is anywhere; None if no policy selects where it leads."""
    found = view.alias(alias.namespace, alias.name, alias.port)
    if found is None:
        return None
    method, path = ("POST", target.path or GRPC_PATH) if alias.protocol == "grpc" else ("GET", target.path or "/")
    identity = identities.of_task(identities.TRUST_DOMAIN, task.task.spec, "").path
    answers = questions.ask(view, found, Call(identity, method, path))
    selected = sorted((one for one in answers if not one.port.admission.open), key=lambda one: one.verdict.allowed)
    return _access(selected[0]) if selected else None


def _access(answer: Answer) -> facts.Access:
    port, verdict = answer.port, answer.verdict
    return facts.Access(
        service=port.service,
        port=port.port_name,
        allowed=verdict.allowed,
        request="" if port.protocol == "tcp" else f"{answer.call.method} {answer.call.path}",
        policies=port.admission.enforced,
        rule=verdict.rule,
        remedy="" if verdict.allowed else answer.remedy,
    )
