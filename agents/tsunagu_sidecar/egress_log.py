"""How the egress access log of an Envoy is switched: by runtime keys, which the log in its listeners reads. Pure.

Rule: a mode says the value of each key, off as well, since a key that is taken away in the admin layer shows the value that
the bootstrap gave it.
"""

from collections.abc import Mapping
from typing import Final

ALL: Final = "all"
ERRORS: Final = "errors"
OFF: Final = ""
_EVERY_CALL: Final = "tsunagu.egress_log"
_FAILURES: Final = "tsunagu.egress_errors"
_SWITCHED_ON: Final = {OFF: "", ALL: _EVERY_CALL, ERRORS: _FAILURES}


def values(mode: str) -> Mapping[str, int]:
    """Return the value of each runtime key; a mode that is not known is off."""
    on = _SWITCHED_ON.get(mode, "")
    return {key: 100 if key == on else 0 for key in (_EVERY_CALL, _FAILURES)}


def target(mode: str) -> str:
    """Return the path of the admin interface to which a POST switches a running Envoy."""
    return "/runtime_modify?" + "&".join(f"{key}={value}" for key, value in values(mode).items())
