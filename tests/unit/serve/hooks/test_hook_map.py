"""The file that says what stands for a function: who may write it, what is in it, and what is refused."""

import json
import os

import pytest

from tsunagu.serve.hooks.hook_map import BadHook, Command, Url, find, load, parse, read_word, save, word

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:check"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (f"{ARN}=./check.sh", Command(("./check.sh",), "/shop")),
        (f"{ARN}=python3 check.py --table 'a b=c'", Command(("python3", "check.py", "--table", "a b=c"), "/shop")),
        (f"{ARN}=curl https://checks.example/", Command(("curl", "https://checks.example/"), "/shop")),
        (f"{ARN}:live=./check.sh", Command(("./check.sh",), "/shop")),
        (f"{ARN}=http://127.0.0.1:9000/check?x=1", Url("http://127.0.0.1:9000/check?x=1")),
    ],
)
def test_what_up_is_given(text, target):
    arn, found = parse(text, "/shop")
    assert (arn, found) == (text.partition("=")[0], target)
    assert read_word(word(arn, found)) == (arn, target)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("check", "is not ARN=COMMAND or ARN=URL"),
        ("check=./check.sh", "is not ARN=COMMAND or ARN=URL"),
        (f"{ARN}=", "the command is empty"),
        (f"{ARN}='", "the command of arn:aws:lambda:eu-west-1:123456789012:function:check cannot be read"),
        (f"{ARN}=https://checks.example/", "is no http:// URL; for another one map a command"),
        (f"{ARN}=http://:9/", "is no http:// URL"),
        (f"{ARN}=http://h:port/", "is no http:// URL"),
    ],
)
def test_what_is_neither(text, says):
    with pytest.raises(BadHook, match=says.replace("(", r"\(")):
        parse(text, "/shop")


@pytest.mark.parametrize(
    ("url", "address", "target"),
    [
        ("http://localhost", ("localhost", 80), "/"),
        ("http://[::1]:9000/a/b?c=d", ("::1", 9000), "/a/b?c=d"),
        ("http://h:1?q", ("h", 1), "/?q"),
    ],
)
def test_where_a_url_leads(url, address, target):
    assert (Url(url).address, Url(url).target) == (address, target)


def test_what_is_added_stays_beside_what_was_there(tmp_path):
    path = tmp_path / "hooks.json"
    save(path, [(ARN, Url("http://h/")), (f"{ARN}2", Command(("a", "b"), "/"))])
    save(path, [(ARN, Command(("c",), "/"))])
    assert load(path) == {ARN: Command(("c",), "/"), f"{ARN}2": Command(("a", "b"), "/")}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_function_that_nothing_is_mapped_to_says_what_to_do(tmp_path):
    with pytest.raises(BadHook, match=f"nothing is mapped to {ARN}: give `--hook {ARN}=COMMAND`"):
        find(tmp_path / "hooks.json", ARN)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "is no JSON object of ARNs"),
        ({ARN: "./check.sh"}, "is neither"),
        ({ARN: {"command": "./check.sh", "directory": "/"}}, "is neither"),
        ({ARN: {"command": ["./check.sh"]}}, "is neither"),
        ({ARN: {"command": ["./check.sh", 1], "directory": "/"}}, "is neither"),
        ({ARN: {"command": [], "directory": "/"}}, "the command is empty"),
        ({ARN: {"command": ["a"], "directory": "shop"}}, "is not absolute"),
        ({ARN: {"url": "ftp://h/"}}, "is no http:// URL"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, written, says):
    path = tmp_path / "hooks.json"
    path.write_text(written if isinstance(written, str) else json.dumps(written))
    with pytest.raises(BadHook, match=says) as raised:
        find(path, ARN)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_could_write_is_not_used(tmp_path, mode):
    path = tmp_path / "hooks.json"
    save(path, [(ARN, Url("http://h/"))])
    path.chmod(mode)
    with pytest.raises(BadHook, match="others could write it; make it yours: chmod 600"):
        find(path, ARN)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_used(tmp_path):
    path = tmp_path / "hooks.json"
    save(path, [(ARN, Url("http://h/"))])
    os.chown(path, 12345, 12345)
    with pytest.raises(BadHook, match="others could write it"):
        find(path, ARN)
