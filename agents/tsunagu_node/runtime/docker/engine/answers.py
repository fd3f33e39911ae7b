"""Where a container engine listens on this machine, and whether it answers: asked before anything is started.

Rule: it is quick, changes nothing, and says of an engine that cannot be used what would be right. Standard library only.
"""

import grp
import json
import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tsunagu_node.runtime.contract import RuntimeUnavailable

DEFAULT_SOCKET: Final = "/var/run/docker.sock"
_HOST: Final = "DOCKER_HOST"
_UNIX: Final = "unix://"
_MINIMUM: Final = (1, 41)
_REMEDY: Final = "start Docker, or use --runtime linux"


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


def find(wanted: str, environment: Mapping[str, str]) -> str:
    """Return what answers, and where, for people. Raises RuntimeUnavailable when it cannot be used."""
    socket = endpoint(wanted, environment)
    if reason := refusal(socket):
        raise RuntimeUnavailable(reason)
    from tsunagu_node.runtime.docker.engine import engine_api  # noqa: PLC0415 - `endpoint` alone is quick

    return f"{described(engine_api.version(socket))} at {socket}"


def check_not_rootless(socket: str) -> None:
    """Raise RuntimeUnavailable when the engine has a network of its own, which tasks outside of it cannot be joined to."""
    from tsunagu_node.runtime.docker.engine import engine_api  # noqa: PLC0415 - `endpoint` alone is quick

    try:
        info = engine_api.call(socket, "GET", "/info")
    except (OSError, engine_api.Refused) as error:
        raise RuntimeUnavailable(_silent(socket, error)) from error
    if any("rootless" in str(option) for option in info.get("SecurityOptions") or ()):
        raise RuntimeUnavailable(
            "the container engine is rootless, so that its containers and other tasks cannot be joined"
        )


def refusal(socket: str) -> str:
    """Return why the engine at `socket` cannot run a mesh's tasks, with what would be right; empty when it can."""
    from tsunagu_node.runtime.docker.engine import engine_api  # noqa: PLC0415 - `endpoint` alone is quick

    try:
        version = engine_api.version(socket)
    except (OSError, engine_api.Refused) as error:
        return _silent(socket, error)
    kernel, ours = version.get("KernelVersion", ""), os.uname().release
    if kernel and kernel != ours:
        what = f"the engine at {socket} runs in a virtual machine (kernel {kernel}, here {ours})"
        return (
            f"{what}, where containers share no sockets with this machine; deploy/docker runs everything in containers"
        )
    return _too_old(version)


def _too_old(version: Mapping[str, Any]) -> str:
    numbers = tuple(int(part) for part in str(version.get("ApiVersion", "")).split(".") if part.isdecimal())
    if not numbers or numbers >= _MINIMUM:
        return ""
    return f"{described(version)} is too old: API {'.'.join(map(str, _MINIMUM))} is needed, that of Docker 20.10"


def _silent(socket: str, error: Exception) -> str:
    """Return why nothing answers, and the remedy."""
    match error:
        case PermissionError():
            return _forbidden(socket)
        case FileNotFoundError():
            return f"there is no container engine here: no socket {socket}; {_REMEDY}"
        case ConnectionRefusedError():
            return f"the container engine does not run: nobody listens at {socket}; {_REMEDY}"
        case TimeoutError():
            return f"the container engine at {socket} does not answer in time; look at its log, or use --runtime linux"
    what = getattr(error, "strerror", None) or str(error)
    return f"no container engine answers at {socket}: {what}; {_REMEDY}"


def _forbidden(socket: str) -> str:
    """Return who may use the socket, and whether this user is one of them who only has to log in again."""
    user, group = _user(), _group(socket)
    why = f"user {user} may not use {socket}, which is for the group {group}"
    if user in _members(group):
        return f"{why}, and this session is older than the membership; log in again, or: newgrp {group}"
    return f"{why}; as root: usermod -aG {group} {user}, then log in again"


def _user() -> str:
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def _group(path: str) -> str:
    """Return the name of the group of a file, its number when it has none."""
    try:
        number = Path(path).stat().st_gid
    except OSError:  # it lies in a folder that may not be entered
        return "docker"
    with suppress(KeyError):
        return grp.getgrgid(number).gr_name
    return str(number)


def _members(group: str) -> Sequence[str]:
    with suppress(KeyError):
        return grp.getgrnam(group).gr_mem
    return ()


def described(version: Mapping[str, Any]) -> str:
    """Return what answers, and in which version, by its answer to /version."""
    components = version.get("Components") or ()
    name = next((one["Name"] for one in components if "Podman" in one["Name"]), "Docker")
    return f"{name.partition(' ')[0]} {version['Version']} (API {version['ApiVersion']})"
