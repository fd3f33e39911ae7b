"""Which runtime the mesh of `up` gets, and when that is known.

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
from tsunagu_node.runtime.choice import Choice
from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.docker.engine import answers
from tsunagu_node.runtime.docker.settings import Allowed, Pull, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says of the runtime: auto, linux or docker, and how docker is to work."""

    runtime: str = choice.AUTO
    settings: Settings = field(default_factory=Settings)

    def at_once(self) -> Choice | None:
        """Return the choice, if it does not depend on the manifests. Raises CliError."""
        if self.runtime != choice.AUTO:
            return self.made("")
        return None if self._may_be_there() else Choice(choice.LINUX, "no container engine is here", self.settings)

    def made(self, needs_image: str) -> Choice:
        """Return the choice. `needs_image`: which container only its image can run; empty for none. Raises CliError."""
        try:
            return replace(choice.choose(self.runtime, needs_image, self._engine), settings=self.settings)
        except RuntimeUnavailable as error:
            raise CliError(f"--runtime {self.runtime}: {error}") from error

    def expected(self, needs_image: str) -> Choice:
        """Return the choice for a mesh that is not started here: docker that is asked for need not answer. Raises CliError."""
        if self.runtime == choice.DOCKER:
            return Choice(choice.DOCKER, "it was asked for", self.settings)
        return self.made(needs_image)

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
