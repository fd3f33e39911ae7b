"""Values of environments that look like secrets: what is shown of an object hides them.

A value is taken for a secret by the end of its name (DB_PASSWORD, GITHUB_TOKEN) or by its own form (a private key, the
password in a URL). The one rule: the registry keeps every value as it is; only what is shown is masked, and the reader is
told that it is.
"""

from __future__ import annotations

import re
from typing import Any, Final

MASK: Final = "[masked]"

#: Ends of names. Short ones are a word of its own (DB_PASS, but not COMPASS), so the end of the name before it is one, too.
_NAMES: Final = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRETS?|TOKENS?|CREDENTIALS?|APIKEY"
    r"|(?:^|[_\-.])(?:PASS|PWD|PAT|DSN|COOKIE|SALT|(?:BASIC|REDIS|REGISTRY|NPM)[_\-]?AUTH"
    r"|(?:API|ACCESS|SECRET|PRIVATE|SIGNING|ENCRYPTION|MASTER|AUTH|LICENSE|SSH)[_\-]?KEY(?:[_\-]BASE)?))\d*$",
    re.IGNORECASE,
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Names that end so and hold no secret.
_PLAIN: Final = frozenset({"PWD", "OLDPWD"})
#: Forms that issuers give their secrets: a key's first line, AWS, GitHub, GitLab, Slack, JWT, Stripe, Google, SendGrid.
_VALUES: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
    r"|\bglpat-[\w-]{20,}|\bxox[abps]-[A-Za-z0-9-]{10,}|https://hooks\.slack\.com/services/\S+"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.|\b[rs]k_(?:live|test)_\w{8,}|\bAIza[\w-]{35}|\bSG\.[\w-]{16,}\."
)
#: A password among the fields of a connection string.
_IN_FIELDS: Final = re.compile(r"\b(password|pwd|accountkey|sharedaccesskey)(\s*=\s*)([^;\s]+)", re.IGNORECASE)
_IN_URL: Final = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)(?=@)")


def masked_value(name: str, value: str) -> str:
    """The value as it may be shown: masked whole, or only the password in its URL or connection string, or itself."""
    if not value:
        return value
    if (name not in _PLAIN and _NAMES.search(_CAMEL.sub("_", name))) or _VALUES.search(value):
        return MASK
    return _IN_FIELDS.sub(rf"\1\2{MASK}", _IN_URL.sub(rf"\1:{MASK}", value))


def masked(shown: Any) -> Any:
    """A JSON value (dicts, lists, texts) with every `environment` in it masked; what was given stays as it is."""
    if isinstance(shown, list):
        return [masked(one) for one in shown]
    if isinstance(shown, dict):
        return {key: _environment(one) if key == "environment" else masked(one) for key, one in shown.items()}
    return shown


def _environment(shown: Any) -> Any:
    """ECS's list of `name` and `value`, or an Image's map."""
    if isinstance(shown, dict):
        return {name: masked_value(name, value) for name, value in shown.items()}
    return [
        {**pair, "value": masked_value(pair.get("name", ""), pair["value"])} if "value" in pair else pair
        for pair in shown
    ]
