"""Finds what a template language has left in a text, because nobody rendered it.

Files of deployment tools are templates: `{{ must_env `DB` }}`, `${STAGE}`, `<IMAGE1_NAME>`. Rendered by nobody, the sign
itself would reach the app. The one rule: a shell's own `${NAME}` is none, so weak signs do not count where a shell reads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

RENDER = "it looks like a template: render it first, with the tool that it was written for"

#: Signs that no shell and no ordinary value has: Go, Jinja, Helm, Handlebars, ecspresso; Concourse; ERB, EJS; placeholders.
_STRONG = (
    r"\$?\{\{.*?\}\}+",
    r"\A\(\([\w.:/-]+\)\)\Z",
    r"\{%.*?%\}",
    r"<%.*?%>",
    r"<[A-Z][A-Z0-9_ -]*>",
    r"(?<![A-Za-z0-9_])__[A-Z][A-Z0-9_]*__(?![A-Za-z0-9_])",
    r"@@[A-Za-z][A-Za-z0-9_.]*@@",
    r"#\{[^{}]+\}#?",
)
#: Signs that a shell reads otherwise: Terraform, Serverless, CDK, envsubst; Azure; Windows; Python; consul-template.
_WEAK = (
    r"\$\{[^{}]+\}",
    r"\$\([A-Za-z_][A-Za-z0-9_.]*\)",
    r"%\([A-Za-z_]\w*\)s",
    r"%%?[A-Z][A-Z0-9_]*%%?",
    r"\[\[\s*[^\[\]]+?\s*\]\]",
    r"\A<[A-Za-z][^<>]*>\Z",
    r"<(?:your|my|account|aws|region|image|tag|name|env|cluster|service)[A-Za-z0-9_. -]*>",
)
_ALWAYS = re.compile("|".join(_STRONG), re.DOTALL)
_ANYWHERE = re.compile("|".join((*_STRONG, *_WEAK)), re.DOTALL)
#: Strong enough to say of a whole text whether a search is worth while.
_MAYBE = re.compile(r"\{\{|\{%|<[%A-Za-z]|__[A-Z]|@@|#\{|\$[{(]|%\(|%[A-Z]|\[\[|\(\(|\\u003[cC]")
_SHELLS = re.compile(r"(?:^|/)(?:ba|da|a|z|k)?sh$|^-[a-z]*c$|^CMD-SHELL$")
_LONGEST_SHOWN = 40
#: Fields whose texts are argument lists, and fields that are templates of something else (Docker's log options).
_COMMANDS = frozenset({"command", "entry_point"})
_OTHERS = frozenset({"log_configuration", "firelens_configuration"})


def maybe_in(text: str) -> bool:
    """Whether a search in the members of a document with this text could find anything."""
    return _MAYBE.search(text) is not None


def sign_in(text: str, *, shell: bool = False) -> str:
    """Return the first sign of a template in a text, shortened; empty if there is none. ``shell``: a shell reads it."""
    found = (_ALWAYS if shell else _ANYWHERE).search(text)
    if found is None:
        return ""
    sign = found[0]
    return sign if len(sign) <= _LONGEST_SHOWN else sign[:_LONGEST_SHOWN] + "..."


def hint(text: str) -> str:
    """Return what to do about a text that was not accepted, if it is one of a template; else empty."""
    return RENDER if sign_in(text) else ""


def unrendered(message: Message, path: str = "", *, shell: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (path, sign) for every text within a message that holds a sign of a template."""
    shell = shell or _has_shell(message)
    for field, value in message.ListFields():
        place = f"{path}.{field.json_name}" if path else field.json_name
        if field.name in _OTHERS:
            continue
        for one, where in _each(field, value, place):
            if isinstance(one, str):
                if sign := sign_in(one, shell=shell and field.name in _COMMANDS):
                    yield where, sign
            elif field.message_type is not None and not isinstance(one, (bool, int, float, bytes)):
                yield from unrendered(one, where, shell=shell)


def _each(field: Any, value: Any, place: str) -> list[tuple[Any, str]]:
    """(value, path) of each element of a field."""
    if not field.is_repeated:
        return [(value, place)]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return [(one, f"{place}.{name}") for name, one in value.items()]
    return [(one, f"{place}[{index}]") for index, one in enumerate(value)]


def _has_shell(message: Message) -> bool:
    """Whether one of a message's arguments is a shell, or what only a shell is given."""
    arguments = (one for field, value in message.ListFields() if field.name in _COMMANDS for one in value)
    return any(_SHELLS.search(one) for one in arguments)
