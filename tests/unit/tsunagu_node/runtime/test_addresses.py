from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu_node.runtime.addresses import AddressesExhausted, AddressPool

SMALL = IPv4Network("10.0.0.0/29")  # .1 is the bridge's; .2 to .6 are tasks'


def test_the_first_is_the_bridge_s_and_the_last_broadcast():
    pool = AddressPool(SMALL)
    assert [pool.take() for _ in range(5)] == [f"10.0.0.{last}" for last in range(2, 7)]
    with pytest.raises(AddressesExhausted, match="all 5 addresses"):
        pool.take()


def test_one_that_was_given_back_rests_until_the_others_had_their_turn():
    pool = AddressPool(SMALL)
    first = pool.take()
    pool.give_back(first)
    assert [pool.take() for _ in range(5)][-1] == first


def test_a_new_pool_goes_on_where_the_old_one_was():
    pool = AddressPool(SMALL, used=["10.0.0.5"], last="10.0.0.4")
    assert [pool.take(), pool.take()] == ["10.0.0.6", "10.0.0.2"]


@given(st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=60))
def test_no_address_is_ever_held_twice(steps):
    pool, held = AddressPool(SMALL), []
    for step in steps:
        if step is None and len(held) < 5:
            address = pool.take()
            assert address not in held
            held.append(address)
        elif step is not None and held:
            pool.give_back(held.pop(step % len(held)))
