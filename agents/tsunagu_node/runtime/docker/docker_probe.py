"""What the docker runtime finds here, for `tsunagu doctor`: the engine, and what is known of its kind.

Rule: it only looks; nothing is made in the engine. None of it is needed by a mesh whose containers all have commands.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.engine import answers, engine_api
from tsunagu_node.runtime.finding import Finding


def findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether an engine answers, and then what limits it."""
    try:
        found = answers.find("", environment)
        info = engine_api.call(answers.endpoint("", environment), "GET", "/info")
    except RuntimeUnavailable as error:
        why, _, remedy = str(error).partition("; ")
        yield Finding("docker", False, why, remedy, needed=False)
        return
    except (OSError, engine_api.Refused) as error:
        yield Finding("docker", False, f"it answers, and then does not: {error}", "Look at its log", needed=False)
        return
    yield Finding("docker", True, found, needed=False)
    yield from limits(found, info)


def limits(found: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what containers of this engine lack. `found`: its description; `info`: its own words (GET /info). Pure."""
    options = {str(one).partition(",")[0].removeprefix("name=") for one in info.get("SecurityOptions") or ()}
    if found.startswith("Podman"):
        detail = "its Docker-compatible socket: containers log to json-file, and ulimits above the hard limit fail"
        yield Finding("podman", True, detail, needed=False)
    if "rootless" in options:
        detail = "the engine is rootless: this machine does not reach the addresses of containers, and a mesh has one runtime"
        yield Finding("container addresses", False, detail, "Call from task to task, or publish ports", needed=False)
    if "userns" in options:
        yield Finding("userns-remap", True, "containers of a mesh keep the machine's user ids", needed=False)
