"""`tsunagu up`: a whole mesh in one command.

The one rule: everything starts and ends in one order, read from top to bottom in `hold`: lock the home, start the
children, do the job (apply and show), drain, end.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli import errors
from tsunagu.cli.command import command, say
from tsunagu.cli.errors import CliError
from tsunagu.cli.local import certificate_options, resume
from tsunagu.cli.local.options import Options, Xds
from tsunagu.cli.local.run import answering, hold, unless_failing, until_answering
from tsunagu.cli.local.runtime import Wish, wish
from tsunagu.cli.local.shutdown import Ending
from tsunagu.cli.manifest_options import (
    Allow,
    Cluster,
    EnvFile,
    Pull,
    PullName,
    Quiet,
    Runtime,
    RuntimeName,
    ServiceName,
    Sets,
    SidecarImage,
)
from tsunagu.model.manifests.reading import CommandLine
from tsunagu.settings import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tsunagu.cli.display.app_output import AppOutput
    from tsunagu.cli.display.dashboard import PlainView
    from tsunagu.cli.local.children import Processes
    from tsunagu.cli.local.request import Request
    from tsunagu.cli.local.runtime import Choices
    from tsunagu.cli.local.watch import Snapshot
    from tsunagu.client.connection import Link
    from tsunagu.registry.informer import Informer
    from tsunagu_node.runtime.choice import Needs


@command
async def up(  # noqa: PLR0913, PLR0917 - the options of the command
    home: Home,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Manifests, or directories of them.")],
    publish: Annotated[
        list[str] | None,
        typer.Option(metavar="[HOST:]HOSTPORT=ALIAS:PORT", help="A port of this machine that leads into the mesh."),
    ] = None,
    any_port: Annotated[
        bool, typer.Option("--any-port", help="Publish at any free ports, not at those that are named.")
    ] = False,
    env_file: EnvFile = None,
    service_name: ServiceName = "",
    cluster: Cluster = "",
    sets: Sets = None,
    quiet: Quiet = False,
    runtime: Runtime = RuntimeName.auto,
    allow: Allow = None,
    pull: Pull = PullName.missing,
    sidecar_image: SidecarImage = "",
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return when it is steady; 'down' ends it.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds until --detach gives up waiting.")] = 60.0,
    stop_within: Annotated[float, typer.Option(min=0, help="Seconds that draining may take at the end.")] = 3.5,
    xds: Annotated[Xds, typer.Option("--xds", help="The variant of xDS that the sidecars speak.")] = Xds.delta,
    zones: Annotated[
        str, typer.Option(metavar="A,B,...", help="Availability zones to try with: tasks are spread over them.")
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Apply manifests that change; restart what runs from a changed folder.")
    ] = False,
    logs: Annotated[bool, typer.Option(help="Show what containers write.")] = True,
    aws: Annotated[
        str, typer.Option(metavar="[HOST:]PORT", help="Answer AWS's APIs there, for who has this mesh's key.")
    ] = "",
    metrics: Annotated[str, typer.Option(metavar="[HOST:]PORT", help="Answer Prometheus there, at /metrics.")] = "",
    dns: Annotated[
        int,
        typer.Option(
            "--dns",
            metavar="PORT",
            min=0,
            max=65535,
            help="Where 127.0.0.1 answers DNS [default: 5388, or a free port].",
        ),
    ] = 0,
    hooks: Annotated[
        list[str] | None,
        typer.Option("--hook", metavar="ARN=COMMAND|URL", help="What stands for the function of a lifecycle hook."),
    ] = None,
    ca_cert: Annotated[
        Path | None, typer.Option("--ca-cert", help="Your own certificate authority: PEM, up to the root.")
    ] = None,
    ca_key: Annotated[Path | None, typer.Option("--ca-key", help="Its key, PEM.")] = None,
    ca: Annotated[
        list[str] | None, typer.Option("--ca", metavar="NAME=CERT,KEY", help="Another one, which services may name.")
    ] = None,
    trust_domain: Annotated[str, typer.Option(help="The trust domain of SPIFFE IDs [default: tsunagu.local].")] = "",
    leaf_life: Annotated[str, typer.Option("--leaf-life", help="How long a task's certificate is good.")] = "1h",
) -> None:
    """Run a mesh of these manifests on this machine; Ctrl-C drains and ends it."""
    names = CommandLine(service_name, cluster, tuple(sets or ()))
    wanted = wish(runtime, allow or (), pull, sidecar_image)
    arguments = Arguments(
        paths, publish or [], env_file, names, quiet, wanted, wanted.at_once(), watch, logs, any_port, trust_domain
    )
    if detach and watch:
        raise CliError("--watch needs the foreground", errors.USAGE, "leave out --detach")
    endpoint = _aws(aws)
    several = {"zones": _zones(zones), "aws": endpoint, "metrics": _metrics(metrics, endpoint), "dns": str(dns or "")}
    identity = certificate_options.Wish(ca_cert, ca_key, ca or (), trust_domain, leaf_life).words()
    own = _hooks(hooks or [])
    options = Options(stop_within, xds, (), **several, hooks=own, asked=arguments.asked, identity=identity)
    if detach:
        await _detached(home, arguments, options, timeout)
        return
    foreground = _Foreground(home, arguments)
    ending = Ending()
    ending.listen()
    await hold(home, ending, options, foreground)
    if not foreground.steady:
        raise typer.Exit(errors.INTERRUPTED)


def _zones(text: str) -> str:
    """The zones as the node agent takes them. Raises CliError."""
    from tsunagu.model import zones  # noqa: PLC0415 - seldom asked for

    try:
        return ",".join(zones.parse(text))
    except ValueError as error:
        raise CliError(f"--zones {text}: {error}", errors.USAGE) from error


def _hooks(texts: list[str]) -> tuple[str, ...]:
    """What stands for functions, as `home_lock` keeps it. Raises CliError."""
    if not texts:
        return ()
    from tsunagu.serve.hooks import hook_map  # noqa: PLC0415 - only with --hook

    try:
        return tuple(hook_map.word(*hook_map.parse(text, str(Path.cwd()))) for text in texts)
    except hook_map.BadHook as error:
        raise CliError(f"--hook: {error}", errors.USAGE) from error


def _aws(text: str) -> str:
    """HOST:PORT of the AWS endpoint; empty when none is wanted. Raises CliError, also when another process listens there."""
    if not text:
        return ""
    from tsunagu.cli.local import aws_endpoint  # noqa: PLC0415 - only with --aws

    host, port = aws_endpoint.parse(text)
    aws_endpoint.check_free(host, port)
    return f"{host}:{port}"


def _metrics(text: str, aws: str) -> str:
    """HOST:PORT of the exporter; empty when none is wanted. Raises CliError, also when another process listens there, or `aws` will."""
    if not text:
        return ""
    from tsunagu.cli.local import metrics_endpoint  # noqa: PLC0415 - only with --metrics

    at = metrics_endpoint.free(text)
    if at == aws:
        raise CliError(f"--aws and --metrics are both {at}", errors.CONFLICT, "name another port for one of them")
    return at


@dataclass(frozen=True, slots=True)
class Arguments:
    """The part of the command line that says what is to run, and when `up` began (monotonic seconds). `taken`: which port
    of this machine a published one became, with `any_port`.
    """

    paths: list[Path]
    publish: list[str]
    env_file: Path | None
    names: CommandLine
    quiet: bool
    wish: Wish
    runtimes: Choices | None  # None: they depend on the manifests
    watch: bool = False
    logs: bool = True
    any_port: bool = False
    trust_domain: str = ""
    taken: dict[tuple[str, int], int] = field(default_factory=dict)
    at: float = field(default_factory=time.monotonic)

    @property
    def asked(self) -> str:
        """What is asked for, by which the next `up` knows a mesh again that was killed."""
        return resume.request(self.paths, self.publish, self.env_file, self.names, self.trust_domain)

    def read(self) -> Request:
        """Read and validate what is to run. Raises ManifestError and CliError."""
        # The children have been started; what this imports and reads costs no time beside them.
        from tsunagu.cli.local.publish import check_free  # noqa: PLC0415

        request = self.read_again()
        if not self.any_port:
            check_free(request.gateways)
        return request

    def read_again(self) -> Request:
        """As `read`, for a mesh that has its ports already."""
        from tsunagu.cli.local import request as requests  # noqa: PLC0415
        from tsunagu.cli.local.publish import take_free  # noqa: PLC0415

        asked = requests.Asked(self.paths, self.publish, self.env_file, self._choose, self.names, self.quiet)
        request = requests.read_request(asked)
        if self.any_port:
            take_free(request.gateways, self.taken)
        return request

    def _choose(self, needs: Needs) -> Choices:
        return self.runtimes or self.wish.made(needs)

    def steady(self, what: str) -> str:
        """The line that announces a steady mesh, after what time."""
        return f"steady after {time.monotonic() - self.at:.1f} s: {what}"


class _Foreground:
    """The job of `hold` on a terminal (or in a pipe): apply, then show."""

    def __init__(self, home: Home, arguments: Arguments) -> None:
        self._home = home
        self._arguments = arguments
        self._view: PlainView | None = None
        self._output: AppOutput | None = None
        self._before: Snapshot = {}
        self.steady = False

    def _note(self) -> None:
        """Note how the manifests are before they are read, for `--watch`."""
        if self._arguments.watch:
            from tsunagu.cli.local.watch import stamps  # noqa: PLC0415

            self._before = stamps(self._arguments.paths)

    def notify(self, text: str) -> None:
        if self._view is None:
            typer.echo(text)
        else:
            self._view.notify(text)

    def output(self, link: Link, informer: Informer) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._output is None else self._output.shown(link, informer)

    async def __call__(self, processes: Processes) -> None:
        if self._arguments.runtimes is not None:
            processes.choose(self._arguments.runtimes)
            await asyncio.sleep(0)  # the node agents start before the manifests are read
        self._note()
        request = self._arguments.read()
        processes.choose(request.runtimes)
        self._arguments = replace(self._arguments, runtimes=request.runtimes)  # `--watch` reads again, the nodes stay
        from tsunagu.cli.display import dashboard as views  # noqa: PLC0415
        from tsunagu.cli.display.app_output import AppOutput  # noqa: PLC0415
        from tsunagu.client.connection import connected  # noqa: PLC0415
        from tsunagu.client.source import registry_informer  # noqa: PLC0415

        self._view = view = views.make()
        self._output = AppOutput(view) if self._arguments.logs else None
        await answering(self._home, processes)
        async with connected(self._home) as link, asyncio.TaskGroup() as group:
            informer = registry_informer(link.registry)
            group.create_task(informer.run(), name="informer")
            group.create_task(views.follow_events(informer, view), name="events")
            group.create_task(views.follow_proxies(link, view), name="proxies of the view")
            with view.shown(informer):
                async with self.output(link, informer):
                    await unless_failing(processes, self._bring_up(link, request))
                    await self._hold(link)

    async def _hold(self, link: Link) -> None:
        """Until Ctrl-C cancels us."""
        if not self._arguments.watch:
            await asyncio.Event().wait()
        from tsunagu.cli.local.watch import Watched, watch  # noqa: PLC0415

        await watch(link, Watched(self._arguments.paths, self._arguments.read_again, self._before), self.notify)

    async def _bring_up(self, link: Link, request: Request) -> None:
        from tsunagu.cli.local.bring_up import bring_up, where_reachable  # noqa: PLC0415

        note = _applying(self._home, self._arguments)
        announced = self._arguments.steady(await bring_up(link, request, None, self.notify, note))
        self.steady = True  # from the moment on that it says so, an end is one in order
        self.notify(announced)
        for line in await where_reachable(link):
            self.notify(line)
        hint = "" if self._arguments.logs else "'tsunagu logs -f' shows what its apps write; "
        self.notify(f"{hint}Ctrl-C drains and ends it, a second one ends it at once")


def _applying(home: Home, arguments: Arguments) -> Callable[[], None] | None:
    """What notes that the manifests are applied; None: the mesh goes on, and has them already."""
    inside = resume.content(arguments.paths, arguments.env_file)
    if resume.is_applied(home, inside):
        return None
    return lambda: resume.note(home, arguments.asked, inside)


async def _detached(home: Home, arguments: Arguments, options: Options, timeout: float) -> None:
    from tsunagu.cli.local.detached import started  # noqa: PLC0415 - subprocess and logs are not the foreground's

    if arguments.runtimes is None:
        arguments = replace(arguments, runtimes=arguments.read().runtimes)
    assert arguments.runtimes is not None
    encoded = tuple(one.encoded() for one in arguments.runtimes)
    async with started(home, replace(options, runtimes=encoded)) as background:
        await background.meanwhile(_bring_up_behind(home, arguments, timeout))


async def _bring_up_behind(home: Home, arguments: Arguments, timeout: float) -> None:
    request = arguments.read()
    await until_answering(home, len(request.runtimes))
    from tsunagu.cli.local.bring_up import bring_up, where_reachable  # noqa: PLC0415 - while the children start
    from tsunagu.client.connection import connected  # noqa: PLC0415

    async with connected(home) as link:
        note = _applying(home, arguments)
        say(arguments.steady(await bring_up(link, request, timeout, say, note)))
        for line in await where_reachable(link):
            say(line)
    say("'tsunagu down' drains and ends it")
