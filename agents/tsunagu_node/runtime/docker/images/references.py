"""The parts of an image's reference, as the docker command reads them. Pure."""

from typing import Final

DOCKER_HUB: Final = "docker.io"


def parts(reference: str) -> tuple[str, str]:
    """Return (name, tag or digest); without either the tag is `latest`."""
    name, at, digest = reference.partition("@")
    path, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    plain = f"{path}/{last}" if path else last
    return (plain, digest) if at else (plain, tag or "latest")


def registry(reference: str) -> str:
    """Return the host of the registry: the first part of the name, if it looks like a host."""
    first, slash, _ = reference.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return first if is_host else DOCKER_HUB
