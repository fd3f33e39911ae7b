"""Heartbeats: who is taken to hang, and who is not."""

import os

from tsunagu.kit.heartbeat import beat, first_pulse, heard, listened


def after(silence, *looks, pulse=None):
    """The pulse after the pipe was looked at, at (seconds, whether there was a heartbeat)."""
    pulse = pulse or first_pulse(0.0, silence)
    for now, beats in looks:
        pulse = listened(pulse, now, silence, beats=beats)
    return pulse


def quiet(start, end):
    return [(start + step / 2, False) for step in range(1, int((end - start) * 2) + 1)]


def test_a_child_that_falls_silent_is_lost_after_its_limit():
    assert not after(5, (1, True), *quiet(1, 5.5)).lost
    assert after(5, (1, True), *quiet(1, 6)).lost


def test_a_child_may_take_a_minute_to_start():
    assert not after(5, *quiet(0, 59)).lost
    assert after(5, *quiet(0, 60)).lost


def test_a_supervisor_that_stood_still_gives_a_full_term_again():
    slept = after(5, (1, True), (600, False))
    assert not slept.lost
    assert after(5, *quiet(600, 605), pulse=slept).lost


def test_neither_end_blocks():
    read, write = os.pipe2(os.O_NONBLOCK)
    assert not heard(read)
    beat(write)
    assert heard(read)
    for _ in range(100_000):  # more than a pipe holds
        beat(write)
    assert heard(read)
    os.close(read)
    beat(write)
    os.close(write)
