"""`python -m controlplane.cli` is `tsunagu`."""

from controlplane.cli import main

main(prog_name="tsunagu")
