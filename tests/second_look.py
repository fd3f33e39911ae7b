"""Runs the end-to-end tests, and looks a second time at those that failed: `python -m tests.second_look PYTEST-ARGUMENTS...`

Three files run at once on two processors, so a test may fail by chance, once in some thousand times; a broken one fails again. Rule: what
fails must pass TIMES times in a row, its whole file and nothing beside it, and MOST tests at most may need that. Both outcomes are
printed: a test that needed it is a fault to mend, of its own or of the product (docs/adr/0061-a-second-look.md).
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

TIMES: Final = 3
MOST: Final = 2
_TESTS_FAILED: Final = 1  # pytest's exit code; others say that it could not run them
Run = Callable[[Sequence[str]], int]


def looked_at(failed: Sequence[str], run: Run, say: Callable[[str], None]) -> int:
    """Return 0 when the `failed` tests (pytest's node IDs) pass alone, else an exit code. `run`: pytest with these arguments."""
    if not failed or len(failed) > MOST:
        say(f"{len(failed)} tests have failed: more than {MOST} is not chance")
        return _TESTS_FAILED
    files = list(dict.fromkeys(one.partition("::")[0] for one in failed))
    for file in files:
        for time in range(1, TIMES + 1):
            say(f"second look at {file}, {time} of {TIMES}")
            if code := run(["-m", "e2e", file]):
                return code
    say("\n".join(["RED BY CHANCE: failed beside others, and passed alone. Each is a fault to mend:", *failed]))
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run pytest with the arguments, and what failed again; return an exit code."""
    cache = Path(sys.prefix) / "second-look"
    shutil.rmtree(cache, ignore_errors=True)
    code = _pytest([*arguments, "-o", f"cache_dir={cache}"])
    if code != _TESTS_FAILED:
        return code
    failed = json.loads((cache / "v" / "cache" / "lastfailed").read_text())
    return looked_at(sorted(failed), _pytest, lambda words: print(words, flush=True))


def _pytest(arguments: Sequence[str]) -> int:
    pytest = Path(sys.executable).with_name("pytest")
    return subprocess.run([pytest, "-q", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
