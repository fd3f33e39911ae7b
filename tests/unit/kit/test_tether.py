import os
import subprocess
import sys
from contextlib import contextmanager

from tsunagu.kit import tether

PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: {on_term})
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def tethered(program, seconds="5"):
    release, held = os.pipe()
    command = [sys.executable, "-I", "-S", tether.__file__, str(release), seconds, sys.executable, "-c", program]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=(release,))
    os.close(release)
    try:
        yield running, held
    finally:
        running.stdout.close()
        running.wait(60)


def test_the_end_of_the_pipe_asks_the_program_to_end():
    with tethered(PROGRAM.format(on_term="(print('bye', flush=True), sys.exit(7))")) as (running, held):
        assert running.stdout.readline() == b"ready\n"
        os.close(held)
        assert running.stdout.readline() == b"bye\n"
        assert running.wait(60) == 7


def test_one_that_does_not_listen_is_killed():
    with tethered(PROGRAM.format(on_term="None"), seconds="0.1") as (running, held):
        assert running.stdout.readline() == b"ready\n"
        os.close(held)
        assert running.wait(60) == 137


def test_one_that_ends_by_itself_gives_its_code():
    with tethered("raise SystemExit(3)") as (running, held):
        assert running.wait(60) == 3
        os.close(held)
