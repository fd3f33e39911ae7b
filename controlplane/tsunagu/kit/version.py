"""The version of tsunagu. The build reads it from here, so a program needs no installed metadata to know it."""

__version__ = "0.1.0"
