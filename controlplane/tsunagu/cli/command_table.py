"""The command line as a table: a command's name, where its function is, and what it does in one line.

The one rule: a command's module is imported when the command runs, so `tsunagu --help` costs no more than typer.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import typer
import typer.core
import typer.main

from tsunagu.kit.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, and its line in the help."""

    target: str  # "module:function" in tsunagu.cli.commands, or of another room with its whole name
    help: str
    passes_on: bool = False  # what follows the first argument belongs to another program


ROOT: Mapping[str, Entry] = MappingProxyType(
    {
        "up": Entry("up:up", "Run a mesh of these manifests here, until Ctrl-C."),
        "down": Entry("down:down", "End the mesh that runs here."),
        "apply": Entry("apply:apply", "Bring manifests into the running mesh."),
        "convert": Entry("traffic.convert:convert", "Turn other tools' files into manifests."),
        "validate": Entry("apply:validate", "Check manifests; needs no mesh."),
        "get": Entry("objects:get", "List objects of a kind, or show one."),
        "describe": Entry("objects:describe", "Tell all about one object."),
        "delete": Entry("objects:delete", "Delete an object, or what manifests name."),
        "ps": Entry("tasks:ps", "List tasks."),
        "scale": Entry("tasks:scale", "Set how many tasks a service has."),
        "restart": Entry("tasks:restart_services", "Replace the tasks of services, one by one."),
        "deploy": Entry("deployments.deploy:deploy", "Deploy a service, and show how it goes."),
        "deployments": Entry("deployments.deploy:deployments", "List deployments."),
        "rollback": Entry("deployments.deploy:rollback", "Take a deployment that is in progress back."),
        "deployment": Entry("deployments.deploy:deployment", "Steer a deployment that is in progress."),
        "stop": Entry("tasks:stop", "Stop one task; its service starts another."),
        "logs": Entry("logs:logs", "Show what containers wrote."),
        "exec": Entry("execute:execute", "Run a command inside a task.", passes_on=True),
        "top": Entry("traffic.top:top", "Show who calls whom now, how fast and how well."),
        "metrics": Entry("traffic.metrics:metrics", "Show a service's metrics of the last minutes."),
        "identity": Entry("identity.show:identity", "Show who tasks are to others, and who signed it."),
        "ca": Entry("identity.show:ca", "Show, and replace, who signs certificates."),
        "proxies": Entry("proxies:proxies", "Show what each proxy has accepted."),
        "xds": Entry("xds:xds", "Look at the xDS messages."),
        "envoy": Entry("envoy:envoy", "Look into a task's Envoy."),
        "grpc-bootstrap": Entry(
            "grpc_bootstrap:grpc_bootstrap", "Write what a gRPC program needs for xds:/// targets."
        ),
        "register": Entry("names.register:register", "Give tasks a name for something that is no task."),
        "deregister": Entry("names.register:deregister", "Take such a name away again."),
        "aws": Entry("names.aws:aws", "Use AWS's clients with this mesh."),
        "egress-log": Entry("traffic.egress_log:egress_log", "Let Envoys log the calls that tasks make."),
        "resolve": Entry("names.resolve:resolve", "Say what a DNS name is, for tasks and for this machine, and why."),
        "connect": Entry("names.connect:connect", "Run a command as a member of a namespace.", passes_on=True),
        "routes": Entry("traffic.routes:routes", "Show which rule takes a request, in order."),
        "access": Entry("traffic.access:access", "Say who may call whom, and by which policy."),
        "why": Entry("traffic.why:why", "Say why a call fails, and what would mend it."),
        "wait": Entry("wait:wait", "Wait until the mesh is steady, or a revision has converged."),
        "lessons": Entry("tsunagu.lessons.commands:lessons", "List the lessons in xDS."),
        "lesson": Entry("tsunagu.lessons.commands:lesson", "Go through a lesson, on real Envoys."),
        "doctor": Entry("doctor:doctor", "Say what this machine can do for a mesh, and the remedy."),
        "version": Entry("version:version", "Show the versions of tsunagu and Envoy."),
        "serve": Entry("serve:serve", "Run only the control plane ('up' starts it)."),
        "node": Entry("serve:node", "Run only the node agent ('up' starts it)."),
    }
)


def load(name: str, entry: Entry) -> Any:
    """The typer command (or group) of an entry; imports its module."""
    module, _, attribute = entry.target.partition(":")
    whole = module if module.startswith("tsunagu.") else f"tsunagu.cli.commands.{module}"
    target = getattr(importlib.import_module(whole), attribute)
    if isinstance(target, typer.Typer):
        command = typer.main.get_command(target)
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        settings = {"allow_interspersed_args": False} if entry.passes_on else {}
        app.command(name, context_settings=settings)(target)
        command = typer.main.get_command(app)
    command.name = name
    return command


class LazyGroup(typer.core.TyperGroup):
    """The root command; its commands are those of `ROOT`, each loaded when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(ROOT)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = ROOT.get(cmd_name)
        return None if entry is None else load(cmd_name, entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in ROOT.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in ROOT and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}. {did_you_mean(args[0], ROOT, 'tsunagu --help lists them.')}")
        return super().resolve_command(ctx, args)
