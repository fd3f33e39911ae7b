"""How large the messages of our own APIs may be: one number for clients and servers, so that neither sends what the other refuses.

The one rule: what is kept is far smaller than what can be sent. An object that one reader cannot take blocks all that it reads.
"""

from __future__ import annotations

#: One message of the Registry, the Inspector or a NodeAgent, in either direction. Config dumps of large meshes are the largest.
MESSAGE_BYTES = 64 * 1024 * 1024

#: One object of the registry, encoded. AWS's task definitions have 64 KiB at most.
OBJECT_BYTES = 1024 * 1024

#: All objects that one commit puts: a watch sends them in one message.
COMMIT_BYTES = 32 * 1024 * 1024
