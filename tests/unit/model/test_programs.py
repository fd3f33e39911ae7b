"""A program that is not on this machine is told when manifests are validated, not when a task fails for it."""

import pytest

from tsunagu.model.manifests.formats import Source, read
from tsunagu.model.plan import plan
from tsunagu.model.programs import Machine

HERE = {"python3", "/bin/sh", "sh", "curl"}
MACHINE = Machine(program=lambda name, folder, path: name in HERE, folder=lambda folder: folder == "/srv")


def warnings(container: str, more: str = "") -> list[str]:
    text = f"family: web\ncontainerDefinitions:\n- {{name: web, image: 'web:1', {container}}}\n{more}"
    found = plan(read([Source("a.yaml", text)]), {}, machine=MACHINE)
    assert found.issues == ()
    return [one for one in found.warnings if "not on this machine" in one or "no folder" in one]


@pytest.mark.parametrize(
    ("container", "told"),
    [
        ("command: [python3, app.py]", ""),
        (
            "command: [otelcol]",
            "3: containerDefinitions[0]: container 'web' starts 'otelcol', which is not on this machine",
        ),
        ("entryPoint: [/opt/app/bin/x]", "starts '/opt/app/bin/x'"),
        ("command: [python3], workingDirectory: /usr/src/app", "there is no folder /usr/src/app on this machine"),
        ("command: [python3], workingDirectory: /srv", ""),
        ("command: [python3], healthCheck: {command: [CMD, pg_isready]}", "the check starts 'pg_isready'"),
        ("command: [python3], healthCheck: {command: [CMD-SHELL, 'pg_isready -U x || exit 1']}", "starts 'pg_isready'"),
        ("command: [python3], healthCheck: {command: [CMD-SHELL, 'curl -f localhost || exit 1']}", ""),
        ("command: [python3], healthCheck: {command: [CMD-SHELL, 'test -f /tmp/ok']}", ""),
        ("command: [python3], healthCheck: {command: [CMD-SHELL, 'A=1 exit 0']}", ""),
        ("command: [python3], healthCheck: {command: [NONE]}", ""),
    ],
)
def test_what_is_not_here_is_a_warning(container: str, told: str):
    found = warnings(container)
    assert len(found) == bool(told)
    assert all(told in one for one in found)


def test_an_image_says_what_runs_here():
    image = "---\n{kind: Image, pattern: 'web:*', override: true, command: [python3], workingDirectory: /srv, healthCheck: none}\n"
    assert warnings("command: [otelcol], healthCheck: {command: [CMD, pg_isready]}", image) == []
