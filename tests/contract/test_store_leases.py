"""Leases of every store: what lives by one ends with it, and a holder that could not reach us is not punished."""

import asyncio

import pytest

from tsunagu.registry.store import Delete, InvalidCommit, LeaseNotFound, Put


async def pass_time(store, seconds, duration):
    """Time as it passes for a store that ticks."""
    while duration > 0:
        seconds.now += min(0.5, duration)
        duration -= 0.5
        await store.expire()


async def keys(store):
    return [entry.key for entry in (await store.list()).entries]


@pytest.fixture
async def leased(opened, seconds):
    """A store in which `node` lives by a lease of 10 s, and `other` by none."""
    store = await opened(clock=seconds)
    await store.grant("lease", 10)
    await store.commit([Put("node", b"", lease="lease"), Put("other", b"")])
    return store


async def test_a_grant_makes_no_revision(opened):
    store = await opened()
    await store.grant("lease", 10)

    assert store.revision == 0


async def test_what_lives_by_a_lease_ends_with_it(leased, seconds):
    await leased.commit([Put("node/2", b"", lease="lease")])
    watch = leased.watch(after=2)

    await pass_time(leased, seconds, 9.5)
    assert await keys(leased) == ["node", "node/2", "other"]

    await pass_time(leased, seconds, 0.5)
    assert await keys(leased) == ["other"]
    assert [(change.key, change.entry) for change in (await anext(watch)).changes] == [("node", None), ("node/2", None)]
    assert leased.revision == 3


async def test_keeping_alive_makes_a_full_term_and_no_revision(leased, seconds):
    await pass_time(leased, seconds, 9)
    assert await leased.keep_alive("lease") == 10
    await pass_time(leased, seconds, 9)
    assert await keys(leased) == ["node", "other"]
    assert leased.revision == 1

    await pass_time(leased, seconds, 1)
    assert await keys(leased) == ["other"]


async def test_an_expired_lease_is_gone(leased, seconds):
    await pass_time(leased, seconds, 10)

    with pytest.raises(LeaseNotFound):
        await leased.keep_alive("lease")
    with pytest.raises(LeaseNotFound):
        await leased.revoke("lease")
    with pytest.raises(LeaseNotFound):
        await leased.commit([Put("node", b"", lease="lease")])


@pytest.mark.parametrize("gap", [2.5, 3600])
async def test_after_standing_still_every_lease_gets_a_full_term(leased, seconds, gap):
    await pass_time(leased, seconds, 9)
    seconds.now += gap
    await leased.expire()

    await pass_time(leased, seconds, 9.5)
    assert await keys(leased) == ["node", "other"]
    await pass_time(leased, seconds, 0.5)
    assert await keys(leased) == ["other"]


async def test_a_revoked_lease_takes_its_keys_along(leased):
    assert await leased.revoke("lease") == 2
    assert await keys(leased) == ["other"]


async def test_a_lease_without_keys_ends_without_a_revision(opened, seconds):
    store = await opened(clock=seconds)
    await store.grant("lease", 1)

    assert await store.revoke("lease") == 0
    assert store.revision == 0


async def test_a_key_may_change_its_lease(leased, seconds):
    await leased.grant("longer", 100)
    await leased.commit([Put("node", b"", lease="longer")])
    await pass_time(leased, seconds, 10)
    assert await keys(leased) == ["node", "other"]

    await leased.commit([Put("node", b"")])
    await pass_time(leased, seconds, 100)
    assert await keys(leased) == ["node", "other"]


async def test_a_key_that_was_deleted_is_not_the_leases_any_more(leased, seconds):
    await leased.commit([Delete("node")])
    await leased.commit([Put("node", b"by hand")])
    await pass_time(leased, seconds, 10)

    assert await keys(leased) == ["node", "other"]


async def test_granting_again_renews_and_changes_the_term(leased, seconds):
    await pass_time(leased, seconds, 9)
    await leased.grant("lease", 20)
    await pass_time(leased, seconds, 19)
    assert await keys(leased) == ["node", "other"]
    await pass_time(leased, seconds, 1)
    assert await keys(leased) == ["other"]


async def test_a_put_that_races_the_end_of_its_lease_never_outlives_it(opened):
    store = await opened()
    await store.grant("lease", 10)
    outcomes = await asyncio.gather(
        store.commit([Put("a", b"", lease="lease")]),
        store.revoke("lease"),
        store.commit([Put("b", b"", lease="lease")]),
        store.keep_alive("lease"),
        return_exceptions=True,
    )

    assert outcomes[:2] == [1, 2]
    assert all(isinstance(outcome, LeaseNotFound) for outcome in outcomes[2:])
    assert await keys(store) == []


@pytest.mark.parametrize(("lease", "ttl"), [("", 10), ("lease", 0), ("lease", -1)])
async def test_a_lease_needs_an_id_and_a_term(opened, lease, ttl):
    store = await opened()

    with pytest.raises(InvalidCommit):
        await store.grant(lease, ttl)


async def test_run_expires_leases(opened):
    """The one test by the real clock."""
    store = await opened()
    await store.grant("lease", 0.01)
    await store.commit([Put("node", b"", lease="lease")])
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(store.run())
        async with asyncio.timeout(60):
            watch = store.watch(after=1)
            assert (await anext(watch)).changes[0].entry is None
        ticking.cancel()


async def test_a_lease_that_ended_can_be_granted_again(leased, seconds):
    await leased.revoke("lease")
    await leased.grant("lease", 10)
    await leased.commit([Put("node", b"again", lease="lease")])

    assert await keys(leased) == ["node", "other"]
    await pass_time(leased, seconds, 10)
    assert await keys(leased) == ["other"]
