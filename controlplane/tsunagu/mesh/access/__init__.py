"""Which callers the ports of services take: the words, how `kind: AccessPolicy` becomes them, and the verdict on one call."""
