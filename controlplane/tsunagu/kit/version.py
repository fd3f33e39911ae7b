"""The version of tsunagu, read from here by the build as well: a program that runs needs no metadata of an installation."""

__version__ = "0.1.0"
