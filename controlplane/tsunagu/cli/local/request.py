"""What a command line of `up` asks for, read and checked before anything starts.

The one rule: a mesh begins empty, so every fault of its manifests, secrets and ports can be told here.
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

    from tsunagu.model.manifests.formats import Document


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be brought up."""

    documents: Sequence[Document]
    secrets: Mapping[str, str]
    wishes: Sequence[publish.Wish]


def read_wanted(paths: Sequence[Path], wishes: Sequence[str], env_file: Path | None) -> Wanted:
    """Raises ManifestError and CliError."""
    secrets = manifest_files.read_secrets(env_file)
    documents = manifest_files.read_manifests(paths)
    published = [publish.parse(text) for text in wishes]
    publish.check_free(published)
    made = apply.planned(documents, {}, secrets)
    indexes = Indexes(state_after({}, [change.object for change in made.changes if change.object is not None]), {})
    gateways = publish.documents(published, indexes.aliases)
    if gateways:
        apply.planned([*documents, *gateways], {}, secrets)
    return Wanted([*documents, *gateways], secrets, published)
