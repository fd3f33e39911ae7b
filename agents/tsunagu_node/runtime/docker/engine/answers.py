"""Where a container engine listens on this machine, and whether it answers: asked before anything is started.

Rule: it is quick, changes nothing, and says of an engine that cannot be used what would be right. Standard library only.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.engine import engine_api

DEFAULT_SOCKET: Final = "/var/run/docker.sock"
_HOST: Final = "DOCKER_HOST"
_UNIX: Final = "unix://"


def endpoint(wanted: str, environment: Mapping[str, str], exists: Callable[[str], bool] = os.path.exists) -> str:
    """Return the path of the engine's socket: `wanted`, that of DOCKER_HOST, of Docker's context, or one where engines listen.

    Raises RuntimeUnavailable when the engine is one of another machine.
    """
    named = wanted or environment.get(_HOST, "") or _of_context(environment)
    if named:
        if "://" in named and not named.startswith(_UNIX):
            what = f"{named} is an engine behind a network, whose containers see no files and sockets of this machine"
            raise RuntimeUnavailable(f"{what}; run everything in containers there (deploy/docker), or unset {_HOST}")
        return named.removeprefix(_UNIX)
    user = environment.get("XDG_RUNTIME_DIR", "")
    usual = [DEFAULT_SOCKET, *([f"{user}/docker.sock", f"{user}/podman/podman.sock"] if user else [])]
    return next((path for path in (*usual, "/run/podman/podman.sock") if exists(path)), DEFAULT_SOCKET)


def _of_context(environment: Mapping[str, str]) -> str:
    """Return the endpoint of Docker's current context, as the docker command finds it; empty when it has none."""
    folder = Path(environment.get("DOCKER_CONFIG", "") or Path(environment.get("HOME", "/"), ".docker"))
    try:
        name = (
            environment.get("DOCKER_CONTEXT", "") or json.loads((folder / "config.json").read_text())["currentContext"]
        )
        for path in (folder / "contexts" / "meta").glob("*/meta.json"):
            found = json.loads(path.read_text())
            if found["Name"] == name:
                return str(found["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return ""


def refusal(socket: str) -> str:
    """Return why the engine at `socket` cannot run a mesh's tasks, with what would be right; empty when it can."""
    try:
        version = engine_api.version(socket)
    except PermissionError:
        return f"{socket} may not be used by this user; add it to the group docker, and log in anew"
    except (OSError, engine_api.Refused) as error:
        what = getattr(error, "strerror", None) or str(error)
        return f"no container engine answers at {socket}: {what}; start Docker, or use --runtime linux"
    kernel, ours = version.get("KernelVersion", ""), os.uname().release
    if kernel and kernel != ours:
        what = f"the engine at {socket} runs in a virtual machine (kernel {kernel}, here {ours})"
        return (
            f"{what}, where containers share no sockets with this machine; deploy/docker runs everything in containers"
        )
    return ""


def described(version: Mapping[str, Any]) -> str:
    """Return what answers, and in which version, by its answer to /version."""
    components = version.get("Components") or ()
    name = next((one["Name"] for one in components if "Podman" in one["Name"]), "Docker")
    return f"{name.partition(' ')[0]} {version['Version']} (API {version['ApiVersion']})"
