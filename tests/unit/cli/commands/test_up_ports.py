"""Ports that `up` is given: two things that listen cannot have the same one."""

import socket

import pytest

from tsunagu.cli.commands import up
from tsunagu.cli.errors import CONFLICT, CliError


def test_the_exporter_has_another_port_than_the_aws_endpoint():
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    at = f"127.0.0.1:{port}"
    assert up._metrics(str(port), "") == at
    with pytest.raises(CliError, match=f"--aws and --metrics are both {at}") as refused:
        up._metrics(str(port), at)
    assert refused.value.code == CONFLICT
