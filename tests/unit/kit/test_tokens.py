import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.kit.tokens import (
    KEY_BYTES,
    TOKEN,
    BadKey,
    BadToken,
    incarnate,
    incarnation_of,
    load_key,
    mint,
    verify,
)

KEY = bytes(range(32))
OTHER = bytes(32)


@given(st.text(min_size=1, max_size=80).filter(lambda text: text.isprintable()))
def test_a_token_names_its_task(task):
    token = mint(KEY, task)
    assert verify(KEY, token) == task
    assert TOKEN.fullmatch(token)


def test_the_form_is_fixed():
    # The MAC as openssl makes it.
    assert mint(KEY, "default/orders-1a2b3c4d") == (
        "v1.ZGVmYXVsdC9vcmRlcnMtMWEyYjNjNGQ.AfJrYHbvrnLgQmUwkh0TKUUbr9EgWklKVd58TreyJu4"
    )


def test_another_mesh_s_token_is_refused():
    with pytest.raises(BadToken, match="not made with this mesh's key"):
        verify(OTHER, mint(KEY, "default/orders-1"))


def test_a_task_cannot_take_another_s_name():
    _, _, mac = mint(KEY, "default/a-1").split(".")
    _, name, _ = mint(KEY, "default/b-1").split(".")
    with pytest.raises(BadToken):
        verify(KEY, f"v1.{name}.{mac}")


@pytest.mark.parametrize(
    "token", ["", "v1", "v1..", "v2.YQ.YQ", "v1.YQ", "v1.?.?", "v1.YQ==.YQ", "Bearer v1.YQ.YQ", "v1.a.b", "v1.YQ.é"]
)
def test_what_is_no_token_is_refused(token):
    with pytest.raises(BadToken):
        verify(KEY, token)


def test_one_token_has_one_spelling():
    token = mint(KEY, "default/a-1")
    last = token[-1]
    # The last of 43 characters holds 4 bits that count and 2 that do not.
    twins = [token[:-1] + chr(ord(last) + step) for step in (1, -1)]
    for twin in twins:
        with pytest.raises(BadToken):
            verify(KEY, twin)


def test_no_task_no_token():
    with pytest.raises(ValueError, match="must not be empty"):
        mint(KEY, "")


def test_the_message_does_not_tell_the_token():
    token = mint(KEY, "default/a-1")
    with pytest.raises(BadToken) as caught:
        verify(OTHER, token)
    assert token not in str(caught.value)


def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "key"
    key = load_key(path)
    assert len(key) == KEY_BYTES
    assert load_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in tmp_path.iterdir()] == ["key"]


def test_many_at_once_get_the_same_key(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_key(tmp_path / "key"), range(64)))
    assert len(keys) == 1
    assert [child.name for child in tmp_path.iterdir()] == ["key"]


def test_a_key_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "key"
    load_key(path)
    path.chmod(0o640)
    with pytest.raises(BadKey, match="mode 0640"):
        load_key(path)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_refused(tmp_path, size):
    path = tmp_path / "key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(BadKey, match="32 bytes"):
        load_key(path)


@given(st.text(min_size=1, max_size=80), st.integers(min_value=1, max_value=2**63))
def test_a_token_can_be_for_one_start_of_a_task(task, number):
    assert incarnation_of(incarnate(task, number)) == (task, number)


@pytest.mark.parametrize("name", ["default/web-1", "default/web-1@", "@5", "default/web-1@x", "default/web-1@٣"])
def test_a_name_without_a_number_is_of_no_incarnation(name):
    assert incarnation_of(name) == (name, 0)
