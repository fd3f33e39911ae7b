"""`tsunagu why`: who may be asked about. What it says of calls is in tests/unit/cli/why."""

import pytest


@pytest.mark.parametrize("word", ["host", "host:laptop"])
def test_a_program_of_the_machine_makes_no_call_from_a_task_and_is_told_what_to_ask(server, tsunagu, word):
    done = tsunagu("why", word, "http://web/", "--home", server.home.root)
    assert done.exit_code != 0
    assert "a program of this machine is in no task" in done.stderr
    assert "tsunagu access host NAME:PORT" in done.stderr


def test_whoever_else_is_not_there_is_unknown(server, tsunagu):
    done = tsunagu("why", "hosts", "http://web/", "--home", server.home.root)
    assert "there is no task and no service 'hosts'" in done.stderr
