"""`python -m tsunagu_node --home HOME [--name NAME]`: the node agent of this machine."""

from tsunagu_node.runtime.linux.launcher import main

main()
