"""The command line of an Envoy. Rule: what the bootstrap can set is set there."""

from tsunagu_sidecar.bootstrap import Settings

_CHATTY = ("main", "config", "admin", "runtime")
"""Loggers that at `info` write 30 KB at every start (a line for each extension) and nothing of use after it."""


_FLUSH_MILLISECONDS = 1000


def argv(envoy: str, config: str, settings: Settings) -> list[str]:
    """Return the command that starts `envoy` with the bootstrap in the file `config`."""
    return [
        envoy,
        "--config-path",
        config,
        "--concurrency",  # one worker: a sidecar serves one task
        "1",
        "--disable-hot-restart",  # without it a second Envoy in the same network namespace dies at start
        "--drain-time-s",  # a removed listener's connections live this long; Envoy's default is 600
        str(settings.drain_time_seconds),
        "--drain-strategy",
        "immediate",
        "--file-flush-interval-msec",  # access logs go to standard output; Envoy's default is 10 s
        str(_FLUSH_MILLISECONDS),
        "--log-level",
        settings.log_level,
        *(_quiet() if settings.log_level == "info" else ()),
    ]


def _quiet() -> tuple[str, str]:
    return "--component-log-level", ",".join(f"{name}:warning" for name in _CHATTY)


def environment(settings: Settings) -> dict[str, str]:
    """Return what the Envoy finds in its environment: whose spans it makes, for the tracer of its listeners.

    Format and names: OpenTelemetry's resource semantic conventions.
    """
    service, _, namespace = settings.cluster.partition(".")
    named = {"service.name": service, "service.namespace": namespace, "service.instance.id": settings.task}
    return {"OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in named.items())}


def validate_argv(envoy: str, config: str) -> list[str]:
    """Return the command by which `envoy` checks the bootstrap in the file `config`; exit code 0: it is valid."""
    return [envoy, "--mode", "validate", "--config-path", config, "--concurrency", "1", "--disable-hot-restart"]
