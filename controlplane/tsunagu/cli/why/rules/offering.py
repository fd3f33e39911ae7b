"""Does a task serve the name? By the registry, and by what listens in the tasks that are not ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.cli.output import age
from tsunagu.cli.why.rules.listening import elsewhere
from tsunagu.cli.why.verdict import Verdict

if TYPE_CHECKING:
    from tsunagu.cli.why.facts import Facts, Provider

_COMING: Final = frozenset({"PROVISIONING", "PENDING", "ACTIVATING"})
_STOPPED: Final = "STOPPED"
_TLS: Final = "for TLS: "  # how what a task waits for begins, if its ports take nothing else


def nobody_is_to_run(facts: Facts) -> Verdict | None:
    service = facts.provider_service
    if service is None or service.desired or facts.serving:
        return None
    what = f"{service.name} is to have no task (desiredCount 0)"
    return Verdict("desired-none", what + _since(facts), f"tsunagu scale {service.name}=1", "endpoints")


def unhealthy(facts: Facts) -> Verdict | None:
    sick = [one for one in facts.providers if one.health == "UNHEALTHY" and one.status != _STOPPED]
    if facts.serving or not sick:
        return None
    one = sick[0]
    check = f": its health check {one.check}" if one.check else ""
    what = f"no task of {_who(facts)} is healthy; {one.task} is UNHEALTHY{check}"
    return Verdict(
        "unhealthy", what + _since(facts), "look at the check: tsunagu describe task " + one.task, "endpoints"
    )


def listens_elsewhere(facts: Facts) -> Verdict | None:
    """It is not admitted, since its port is silent; and another port of it is not."""
    if facts.serving:
        return None
    for server in facts.servers:
        task = _provider(facts, server.task)
        found = elsewhere(server)
        if task and task.status in _COMING and found:
            what = f"no task of {_who(facts)} is RUNNING: {server.task} {found}"
            remedy = "make the app listen at the containerPort of its port mapping, or change that"
            return Verdict("not-admitted-other-port", what, remedy, "app")
    return None


def still_starting(facts: Facts) -> Verdict | None:
    coming = [one for one in facts.providers if one.status in _COMING and not one.stopping]
    if facts.serving or not coming:
        return None
    one, failed = coming[0], _last_failure(facts)
    if failed:
        return _failing(facts, failed)
    if one.waits_for.startswith(_TLS):
        why = one.waits_for.removeprefix(_TLS)
        what = f"no task of {_who(facts)} is RUNNING yet; {one.task} is to take TLS alone, and waits for that: {why}"
        return Verdict("tls-not-ready", what, f"tsunagu describe task {one.task} says how far it is", "endpoints")
    waits = f" and waits: {one.waits_for}" if one.waits_for else ""
    what = f"no task of {_who(facts)} is RUNNING yet; {one.task} is {one.status}{waits}"
    remedy = "its app has to listen before it is called" if one.waits_for else "tsunagu wait --steady waits for it"
    return Verdict("not-admitted", what, remedy, "app" if one.waits_for else "endpoints")


def cannot_start(facts: Facts) -> Verdict | None:
    failed = _last_failure(facts)
    return None if facts.serving or failed is None else _failing(facts, failed)


def node_lost(facts: Facts) -> Verdict | None:
    if facts.serving:
        return None
    lost = next((one for one in facts.providers if one.status == "RUNNING" and one.node and not one.stopping), None)
    if lost is None:
        return None
    what = f"{lost.task} is on a node that is gone: {lost.node}"
    return Verdict("node-lost", what + _since(facts), "start its node agent again, or tsunagu delete node", "endpoints")


def stopping(facts: Facts) -> Verdict | None:
    leaving = next((one for one in facts.providers if one.stopping and one.status != _STOPPED), None)
    if facts.serving or leaving is None:
        return None
    why = f" ({leaving.failure})" if leaving.failure else ""
    what = f"the last task of {_who(facts)}, {leaving.task}, is stopping{why}"
    return Verdict("stopping", what + _since(facts), "tsunagu get services says what comes next", "endpoints")


def nobody_runs(facts: Facts) -> Verdict | None:
    if facts.serving or facts.alias is None:
        return None
    service = facts.provider_service
    why = f": {service.reason}" if service and service.reason else ""
    what = f"no task serves {facts.alias.name}:{facts.alias.port}{why}"
    return Verdict("no-task", what + _since(facts), "tsunagu ps --all shows how its tasks ended", "endpoints")


def _failing(facts: Facts, failed: Provider) -> Verdict:
    ago = f" {age(failed.ended)} ago" if failed.ended is not None else ""
    what = f"no task of {_who(facts)} is RUNNING; the last, {failed.task}, ended{ago}: {failed.failure.rstrip('.')}"
    return Verdict("failing-tasks", what, f"mend that; tsunagu logs {failed.task} has all of it", "endpoints")


def _last_failure(facts: Facts) -> Provider | None:
    return next((one for one in facts.providers if one.status == _STOPPED and one.failure), None)


def _who(facts: Facts) -> str:
    return facts.alias.service if facts.alias else facts.target.name


def _since(facts: Facts) -> str:
    return f"; callers have had no endpoint for at least {age(facts.empty_for)}" if facts.empty_for is not None else ""


def _provider(facts: Facts, task: str) -> Provider | None:
    return next((one for one in facts.providers if one.task == task), None)


RULES: Final = (
    nobody_is_to_run,
    unhealthy,
    listens_elsewhere,
    still_starting,
    cannot_start,
    node_lost,
    stopping,
    nobody_runs,
)
