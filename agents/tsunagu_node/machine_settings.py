"""Names of what the node agent is told by its environment, for those who start it and for its main."""

from typing import Final

DNS_VARIABLE: Final = "TSUNAGU_DNS_PORT"
"""The port of 127.0.0.1 at which it answers DNS for programs of the machine."""
RESOLV_VARIABLE: Final = "TSUNAGU_RESOLV_CONF"
"""The file that says which name servers are asked for names that are not the mesh's."""
