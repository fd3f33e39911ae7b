"""What an engine says, for people: its own words without the layers that they passed through. Pure."""

import re
from typing import Final

_LAYERS: Final = re.compile(
    r"^(?:failed to create (?:shim )?task(?: for container)?: |OCI runtime \w+ failed: |runc create failed: "
    r"|unable to start container process: |container_linux\.go:\d+: starting container process caused: "
    r"|process_linux\.go:\d+: container init caused: |error during container init: |Error response from daemon: )+"
)
_TAIL: Final = re.compile(r"(?:: unknown)+\.?$")
_MISSING: Final = re.compile(r"[Nn]o such image: (\S+)|(\S+): image not known")


def plain(message: str) -> str:
    """Return the last of the layers' words: `exec: "nosuch": executable file not found in $PATH`."""
    return _TAIL.sub("", _LAYERS.sub("", message.strip()))


def missing_image(message: str) -> str:
    """Return the image that is not there; empty when the message says something else."""
    found = _MISSING.search(message)
    return next((word for word in found.groups() if word), "") if found else ""


def ways_to_an_image(reference: str) -> str:
    """Return the message about an image that is not there, with every way to have it."""
    name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return (
        f"there is no image {reference!r} on this machine. Build it (docker build -t {reference} DIR), pull it "
        f"(docker pull {reference}, or --pull missing), or name another: "
        f'{{kind: Image, pattern: "*{name}*", image: REFERENCE}} or {{..., build: ./DIR}}'
    )
