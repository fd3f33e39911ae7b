"""Ports that a test may use later: nobody's now, and nobody's by chance."""

import socket

import pytest

from tsunagu.testing import ports
from tsunagu.testing.ports import candidates, free_port


@pytest.mark.parametrize(
    ("ephemeral", "found"),
    [
        ("32768\t60999\n", range(16384, 32768)),
        ("1024 40000", range(40001, 65536)),
        ("1024 65535", range(16384, 65536)),  # nothing is left beside it
    ],
)
def test_outgoing_connections_take_none_of_them(ephemeral, found):
    assert candidates(ephemeral) == found


def test_each_is_free_and_given_once(monkeypatch):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        used = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_given", set())
        monkeypatch.setattr(ports, "candidates", lambda _: range(used, used + 3))
        assert used not in {free_port(), free_port()}
        with pytest.raises(OSError, match="no free port"):
            free_port()
