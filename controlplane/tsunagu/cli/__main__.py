"""`python -m tsunagu.cli` is `tsunagu`."""

from tsunagu.cli.main import main

main(prog_name="tsunagu")
