"""Finds the object that a word means: names may be shortened where that is unique.

The one rule: a shortened name never chooses between two objects; it is refused with the names that it could mean. (A family
is no shortened name: to ECS it means its latest task definition. Of tasks see `client.tasks`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.client.errors import InvalidRequest, UnknownName
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SHORT = {
    "svc": "Service",
    "td": "TaskDefinition",
    "taskdef": "TaskDefinition",
    "ns": "Namespace",
    "rev": "ServiceRevision",
    "vip": "VirtualAddress",
    "gw": "Gateway",
    "secret": "SecretValue",
    "deployment": "ServiceDeployment",
}


def _kind_words() -> Mapping[str, str]:
    words = {**_SHORT, **{f"{word}s": kind for word, kind in _SHORT.items()}}
    for kind in ids.KINDS.values():
        words[kind.name.lower()] = kind.name
        words[kind.prefix[:-1]] = kind.name
        words[kind.field.replace("_", "-")] = kind.name
    return words


def kind_named(word: str) -> str:
    """The kind that a word means, in any case, singular, plural or short. Raises InvalidRequest."""
    words = _kind_words()
    found = words.get(word.lower())
    if found is None:
        known = ", ".join(sorted(kind.prefix[:-1] for kind in ids.KINDS.values()))
        first, _, name = word.partition("/")
        hint = f"write {first} {name}" if name and first.lower() in words else ""
        hint = hint or did_you_mean(word.lower(), words, f"the kinds are {known}")
        raise InvalidRequest(f"there is no kind {word!r}", hint)
    return found


def short_words(kind: str) -> list[str]:
    """The short words for a kind, as `kind_named` takes them."""
    return [word for word, name in _SHORT.items() if name == kind]


def matches(word: str, names: Iterable[str], *, whole: bool = False) -> list[str]:
    """Names that a word can mean: the very name, else those whose last parts it is, else (not `whole`) those that begin so.

    An empty word means nothing, not everything: it is a shell's variable that was not set.
    """
    if not word:
        return []
    known = list(names)
    if word in known:
        return [word]
    by_tail = [name for name in known if name.endswith(f"/{word}")]
    if by_tail or whole:
        return by_tail
    return [name for name in known if name.rpartition("/")[2].startswith(word) or name.startswith(word)]


def find(kind: str, word: str, names: Iterable[str], *, whole: bool = False) -> str:
    """The one name of that kind that a word means; `whole`: the word is not a shortened name.

    Raises UnknownName, and InvalidRequest when it can mean several.
    """
    known = sorted(names)
    what = readable(kind)
    if kind == "TaskDefinition" and not whole and (latest := _latest(word, known)):
        return latest
    if not word:
        raise InvalidRequest(f"an empty word names no {what}", _list_of(what, known))
    found = matches(word, known, whole=whole)
    if not found:
        tails = {name.rpartition("/")[2]: name for name in known}
        hint = did_you_mean(word, {**tails, **dict.fromkeys(known)}, _list_of(what, known))
        raise UnknownName(f"there is no {what} {word!r}", hint)
    if len(found) > 1:
        raise InvalidRequest(f"{word!r} can mean {len(found)} {what}s", "give more of it: " + ", ".join(found[:8]))
    return found[0]


def _latest(family: str, names: Iterable[str]) -> str:
    """The newest revision of a family, as ECS takes a family without a revision; empty when there is none."""
    revisions = [name for name in names if name.rpartition(":")[0] == family]
    return max(revisions, key=lambda name: int(name.rpartition(":")[2]), default="")


def _list_of(what: str, known: list[str]) -> str:
    if not known:
        return f"there is no {what} at all"
    shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    return f"there are: {shown}"


def readable(kind: str) -> str:
    """A kind in words: ``TaskDefinition`` is ``task definition``."""
    return ids.kind(kind).field.replace("_", " ")
