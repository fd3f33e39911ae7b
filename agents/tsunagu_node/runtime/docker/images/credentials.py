"""Credentials for registries, where the docker command keeps them: ~/.docker/config.json, and the helpers that it names.

Rule: they are asked for when an image is pulled, and kept nowhere. What AWS would use instead (ECR by IAM, a secret named by
repositoryCredentials) is not to be had here; the message says what would work.
"""

import base64
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime.docker.images.references import DOCKER_HUB, registry

_HUB_KEY: Final = "https://index.docker.io/v1/"
_ECR: Final = re.compile(r"^(\d+)\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com")
_TIMEOUT: Final = 20.0


def headers(host: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the request's header with the credentials for the registry; none when there are none. Blocks: a helper is run."""
    found = _found(host, environment)
    if not found:
        return {}
    text = json.dumps({"serveraddress": host, **found}).encode()
    return {"x-registry-auth": base64.urlsafe_b64encode(text).decode()}


def advice(container: ecs_pb2.ContainerDefinition) -> str:
    """Return what would help with an image that AWS would pull with rights of its own; empty for any other. Pure."""
    host = registry(container.image)
    if ecr := _ECR.match(host):
        login = f"aws ecr get-login-password --region {ecr[2]} | docker login --username AWS --password-stdin {host}"
        return f"it is in ECR, for which a role gives rights in AWS; here: {login}"
    if container.repository_credentials.credentials_parameter:
        return (
            f"repositoryCredentials names a secret of AWS, which is not read here; docker login {host} takes its place"
        )
    return ""


def _found(host: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    config = _config(environment)
    key = _HUB_KEY if host == DOCKER_HUB else host
    helper = (config.get("credHelpers") or {}).get(host) or config.get("credsStore")
    if helper and (given := _of_helper(str(helper), key, environment)):
        return given
    entries = config.get("auths") or {}
    entry = entries.get(key) or entries.get(f"https://{key}") or {}
    if entry.get("identitytoken"):
        return {"identitytoken": entry["identitytoken"]}
    try:
        name, _, secret = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    except ValueError:
        return {}
    return {"username": name, "password": secret} if name else {}


def _config(environment: Mapping[str, str]) -> dict[str, Any]:
    folder = environment.get("DOCKER_CONFIG") or f"{environment.get('HOME', '/')}/.docker"
    try:
        found = json.loads(Path(folder, "config.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_helper(helper: str, key: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    command = [f"docker-credential-{helper}", "get"]
    try:
        done = subprocess.run(
            command, input=key, env=dict(environment), capture_output=True, text=True, timeout=_TIMEOUT, check=True
        )
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    name, secret = found.get("Username", ""), found.get("Secret", "")
    return {"identitytoken": secret} if name == "<token>" else {"username": name, "password": secret} if name else {}
