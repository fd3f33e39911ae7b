"""Stands in for a schema migration: needs its secret, runs once, ends."""

import os
import sys

if not os.environ.get("DATABASE_PASSWORD"):
    sys.exit("DATABASE_PASSWORD is missing")
print("schema is at", sys.argv[-1])
