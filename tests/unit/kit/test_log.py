import json
import logging
import stat
from pathlib import Path

import pytest
import structlog

from tsunagu.kit import log
from tsunagu.kit.tokens import mint

TOKEN = mint(bytes(32), "default/orders-1")


@pytest.fixture(autouse=True)
def _as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        if handler not in handlers:
            handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_one_json_object_with_its_fields(tmp_path):
    path = tmp_path / "log" / "serve.log"
    log.configure(file=path, console=False)
    log.get("serve.publisher", home="x").info("published", revision=7)
    [line] = lines(path)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "published", "level": "info", "logger": "serve.publisher", "home": "x", "revision": 7}


def test_the_file_is_its_owner_s(tmp_path):
    log.configure(file=tmp_path / "a.log", console=False)
    assert stat.S_IMODE((tmp_path / "a.log").stat().st_mode) == 0o600


def test_so_is_the_one_that_follows_a_rotation(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "_FILE_BYTES", 200)
    log.configure(file=tmp_path / "a.log", console=False)
    for _ in range(4):
        log.get("x").info("y" * 150)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["a.log", "a.log.1", "a.log.2"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3


class Caller:
    def __str__(self):
        return f"the caller with {TOKEN}"


def test_no_object_hides_a_secret(tmp_path, capsys):
    path = tmp_path / "a.log"
    log.configure(file=path, console=True)
    log.get("x").info(
        "refused", error=ValueError(TOKEN), of=[Caller()], _by=TOKEN, argv={"a": bytearray(TOKEN.encode())}
    )
    written = path.read_text() + capsys.readouterr().err
    assert TOKEN not in written
    [line] = lines(path)
    assert (line["error"], line["of"]) == (log.HIDDEN, [f"the caller with {log.HIDDEN}"])


def test_numbers_stay_numbers():
    fields = {"revision": 7, "seconds": 0.5, "up": True, "reason": None, "path": Path("/m")}
    assert log.redact(fields) == {**fields, "path": "/m"}


def test_no_secret_is_written_wherever_it_stands(tmp_path, capsys):
    path = tmp_path / "a.log"
    log.configure(file=path, console=True)
    writer = log.get("x")
    writer.warning(f"refused {TOKEN}", token="t0p", headers={"authorization": "t0p", "host": "a"}, argv=["Bearer t0p"])
    logging.getLogger("grpc").error("metadata: Bearer %s", "t0p")
    try:
        int(TOKEN)
    except ValueError:
        writer.exception("failed")
    written = path.read_text() + capsys.readouterr().err
    assert "t0p" not in written
    assert TOKEN not in written
    assert lines(path)[0]["headers"] == {"authorization": log.HIDDEN, "host": "a"}


def test_a_registry_key_is_no_secret():
    assert log.redact({"key": "services/default/orders"}) == {"key": "services/default/orders"}


def test_less_than_the_level_is_not_written(tmp_path):
    path = tmp_path / "a.log"
    log.configure(file=path, console=False, level="warning")
    log.get("x").info("quiet")
    log.get("x").warning("loud")
    assert [line["event"] for line in lines(path)] == ["loud"]


def test_a_second_call_takes_the_place_of_the_first(tmp_path):
    log.configure(file=tmp_path / "a.log", console=False)
    writer = log.get("x")
    writer.info("first")
    log.configure(file=tmp_path / "b.log", console=False)
    writer.info("second")
    assert [line["event"] for line in lines(tmp_path / "a.log")] == ["first"]
    assert [line["event"] for line in lines(tmp_path / "b.log")] == ["second"]


def test_an_exception_is_written_with_its_traceback(tmp_path):
    log.configure(file=tmp_path / "a.log", console=False)
    try:
        {}["gone"]
    except KeyError:
        log.get("x").exception("failed")
    assert "KeyError: 'gone'" in lines(tmp_path / "a.log")[0]["exception"]
