"""What `up` is asked to run: manifests, secrets and published ports, read and validated before anything is applied.

Rule: a mesh begins empty, so every fault of these is found here, with its file and line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.cli.local import publish
from tsunagu.client import apply, manifest_files
from tsunagu.model.rules.indexes import Indexes
from tsunagu.model.rules.validate import state_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tsunagu.model.errors import Issue
    from tsunagu.model.manifests.reading import CommandLine, Document


@dataclass(frozen=True, slots=True)
class Request:
    """A validated request: the documents to apply, the values of their secrets, the ports to publish.

    ``notes``: of reading the files. ``quiet``: no notes are shown.
    """

    documents: Sequence[Document]
    secrets: Mapping[str, str]
    published: Sequence[publish.PublishedPort]
    notes: Sequence[Issue] = ()
    quiet: bool = False

    @property
    def gateways(self) -> Sequence[Document]:
        """The documents that publish ports of this machine."""
        return [document for document in self.documents if document.kind == "Gateway"]


def read_request(
    paths: Sequence[Path],
    publish_options: Sequence[str],
    env_file: Path | None,
    names: CommandLine | None = None,
    *,
    quiet: bool = False,
) -> Request:
    """Read and validate what the options of `up` name. Raises ManifestError and CliError."""
    secrets = manifest_files.read_secrets(env_file)
    reading = manifest_files.read_all(paths, names)
    published = [publish.parse(text) for text in publish_options]
    publish.check_twice(published)
    made = apply.planned(reading, {}, secrets)
    documents = reading.documents
    indexes = Indexes(state_after({}, [change.object for change in made.changes if change.object is not None]), {})
    gateways = publish.documents(published, indexes.aliases)
    if gateways:
        apply.planned([*documents, *gateways], {}, secrets)
    return Request([*documents, *gateways], secrets, published, reading.notes, quiet)
