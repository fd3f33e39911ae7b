"""Which runtimes the mesh of `up` gets, a node for each, and when that is known.

Rule: an engine is asked only where the answer could matter. What does not depend on the manifests is decided before they are
read, so that the node agent starts beside the control plane; only `auto` on a machine that may have an engine waits for them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tsunagu.cli.errors import CliError
from tsunagu.settings import CONTAINERS_VARIABLE
from tsunagu_node.runtime import choice
from tsunagu_node.runtime.choice import Choice, Needs
from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.engine import answers
from tsunagu_node.runtime.docker.settings import Allowed, Pull, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

#: One for each node of the mesh.
Choices = tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says of the runtime: auto, linux, docker or both, and how docker is to work."""

    runtime: str = choice.AUTO
    settings: Settings = field(default_factory=Settings)

    def at_once(self) -> Choices | None:
        """Return the choices, if they do not depend on the manifests. Raises CliError."""
        if self.runtime != choice.AUTO:
            return self.made(Needs())
        return None if self._may_be_there() else (Choice(choice.LINUX, "no container engine is here", self.settings),)

    def made(self, needs: Needs) -> Choices:
        """Return the choices for a mesh that needs this. Raises CliError."""
        try:
            return self._with_settings(choice.choose(self.runtime, needs, choice.Machine(self._engine, self._both)))
        except RuntimeUnavailable as error:
            raise CliError(f"--runtime {self.runtime}: {error}") from error

    def expected(self, needs: Needs) -> Choices:
        """Return the choices for a mesh that is not started here: docker that is asked for need not answer. Raises CliError."""
        if self.runtime == choice.AUTO:
            return self.made(needs)
        return self._with_settings(tuple(Choice(kind, "it was asked for") for kind in self.runtime.split(",")))

    def _with_settings(self, choices: Choices) -> Choices:
        beside = choice.LINUX if len(choices) > 1 else ""
        return tuple(replace(one, settings=replace(self.settings, beside=beside)) for one in choices)

    def _both(self) -> None:
        """Raise RuntimeUnavailable when nodes of both runtimes cannot be beside each other here."""
        if self.settings.containers:
            raise RuntimeUnavailable("every part of this mesh is a container")
        from tsunagu_node.runtime.linux import probe  # noqa: PLC0415 - its libraries take longer than all else here

        answers.check_not_rootless(answers.endpoint(self.settings.socket, os.environ))
        if refused := next((one for one in probe.findings() if one.needed and not one.ok), None):
            raise RuntimeUnavailable(f"the runtime linux does not work: {refused.name}: {refused.detail}")

    def _engine(self) -> str:
        return answers.find(self.settings.socket, os.environ)

    def _may_be_there(self) -> bool:
        try:
            return Path(answers.endpoint(self.settings.socket, os.environ)).exists()
        except RuntimeUnavailable:
            return True  # it is named, and cannot be used: that is told where it is needed


def wish(runtime: str, allow: Sequence[str] = (), pull: str = Pull.MISSING, sidecar_image: str = "") -> Wish:
    """Return what the options and the environment say; the project is the current folder."""
    allowed = frozenset(map(Allowed, allow))
    settings = Settings(
        sidecar_image=sidecar_image,
        pull=Pull(pull),
        allow=allowed,
        project=str(Path.cwd()),
        containers=bool(os.environ.get(CONTAINERS_VARIABLE)),
    )
    return Wish(runtime, settings)
