"""Keys of authorities: whole, private, there before anybody hears of them, and gone when they are of no use."""

import stat

import pytest

from tests.unit.ca.made import NOW, ca
from tsunagu.ca import given
from tsunagu.ca.files import AuthorityFiles
from tsunagu.ca.refusals import BadAuthority


def test_an_authority_is_found_again(tmp_path):
    made = AuthorityFiles(tmp_path / "ca", {}).make("default", "tsunagu.local", NOW)
    again = AuthorityFiles(tmp_path / "ca", {})
    assert [one.fingerprint for one in again.made("default", NOW)] == [made.fingerprint]
    assert again.signer("default", made.fingerprint, NOW).source == "embedded"
    assert again.signer("default", "00", NOW) is None
    assert again.made("other", NOW) == []


def test_nobody_else_reads_its_key(tmp_path):
    AuthorityFiles(tmp_path / "ca", {}).make("default", "tsunagu.local", NOW)
    (file,) = (tmp_path / "ca" / "default").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o640)
    with pytest.raises(BadAuthority, match="mode 0640, others may read it; make it 0600"):
        AuthorityFiles(tmp_path / "ca", {}).made("default", NOW)


def test_one_that_has_expired_is_still_read(tmp_path):
    made = AuthorityFiles(tmp_path / "ca", {}).make("default", "tsunagu.local", NOW)
    later = AuthorityFiles(tmp_path / "ca", {}).made("default", NOW + 10**9)
    assert [one.fingerprint for one in later] == [made.fingerprint]


def test_what_is_trusted_no_more_goes(tmp_path):
    files = AuthorityFiles(tmp_path / "ca", {})
    old, new = (files.make("default", "tsunagu.local", NOW + later) for later in (0, 10))
    assert [one.fingerprint for one in files.made("default", NOW)] == [old.fingerprint, new.fingerprint]
    files.keep("default", [new.fingerprint])
    assert [one.fingerprint for one in files.made("default", NOW)] == [new.fingerprint]
    files.keep("never made", [])


def test_the_users_own_are_never_files_of_ours(tmp_path):
    root = ca()
    mine = given.parse(("ca.pem", root.pem), ("ca.key", root.key_pem), NOW)
    files = AuthorityFiles(tmp_path / "ca", {"audit": mine})
    assert files.names == ["audit"]
    assert files.signer("audit", mine.fingerprint, NOW) is mine
    assert not (tmp_path / "ca").exists()
