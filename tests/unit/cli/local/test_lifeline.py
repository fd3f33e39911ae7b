import os
import subprocess
import sys

from tsunagu.cli.local.lifeline import Lifeline

SLEEPER = "import os, sys; os.read(int(sys.argv[1]), 1); print('over', flush=True); sys.stdin.read()"


async def test_processes_see_the_end_of_the_lifeline_and_it_sees_theirs():
    lifeline = Lifeline()
    with subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-c", SLEEPER, str(lifeline.descriptor)],
        pass_fds=[lifeline.descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        lifeline.end()
        assert child.stdout.readline() == "over\n"
        child.stdin.close()
        assert await lifeline.gone(10)


async def test_a_process_that_stays_is_noticed():
    lifeline = Lifeline()
    kept = os.dup(lifeline.descriptor)
    lifeline.end()
    assert not await lifeline.gone(0.01)
    os.close(kept)
