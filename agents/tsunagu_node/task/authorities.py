"""The certificate authorities that this machine trusts: a task's Envoy verifies services outside of the mesh with them.

Rule: they are read at each start of an Envoy. A machine without any has no file, and its proxies refuse an External that needs one.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tsunagu_node.runtime.contract import CERTIFICATES

#: Beside Envoy's configuration; `translate.names.AUTHORITIES` is the same file.
FILE: Final = f"{CERTIFICATES}authorities.pem"
_VARIABLE: Final = "SSL_CERT_FILE"  # as OpenSSL, Python and Go have it
_PLACES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


def files(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return name -> file of the machine, of what stands beside an Envoy's configuration; empty on a machine that trusts nobody."""
    found = next((one for one in (environment.get(_VARIABLE), *_PLACES) if one and Path(one).is_file()), None)
    return {FILE: found} if found else {}
