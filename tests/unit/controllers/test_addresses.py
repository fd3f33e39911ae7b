"""Virtual addresses: one for each name, stable, rested before another name gets them."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.controllers.world import NOW, POLICY, at
from tsunagu.controllers.actions import Change, Create, Remove
from tsunagu.controllers.addresses import SPACE, AddressSpace, Use, plan_addresses
from tsunagu.model import ids
from tsunagu.v1 import objects_pb2

BORN = 3  # the deployment that brought port 80 of each name
TWO = AddressSpace(SPACE.first, SPACE.first + 1)


def address(name, ip, released=None):
    """`released`: seconds before NOW."""
    body = objects_pb2.VirtualAddress(namespace="shop", dns_name=name, ip=f"127.255.0.{ip}")
    if released is not None:
        body.released_at.FromMicroseconds(int((NOW - released) * 1e6))
    else:
        body.births[80] = BORN
    return at(ids.make("VirtualAddress", f"shop/{name}", body), 5)


def names(*found):
    return {("shop", name): Use({80: BORN}) for name in found}


def told(plan):
    """[(action, name, last byte, released)] of a plan."""
    bodies = [(type(action).__name__, action.obj.virtual_address) for action in plan.actions]
    return [(kind, b.dns_name, int(b.ip.split(".")[-1]), b.HasField("released_at")) for kind, b in bodies]


def test_the_space_is_all_of_the_network_but_its_ends():
    assert str(IPv4Address(SPACE.first)) == "127.255.0.1"
    assert str(IPv4Address(SPACE.last)) == "127.255.255.254"


def test_new_names_get_the_lowest_fresh_addresses_in_order():
    plan = plan_addresses(names("b", "a"), [address("c", 1, released=5000)], NOW, POLICY)
    assert told(plan) == [("Create", "a", 2, False), ("Create", "b", 3, False)]


def test_the_same_name_in_two_namespaces_is_two_names():
    plan = plan_addresses({("shop", "a"): Use({80: BORN}), ("lab", "a"): Use({80: BORN})}, [], NOW, POLICY)
    assert [action.obj.meta.name for action in plan.actions] == ["lab/a", "shop/a"]


def test_what_is_in_use_is_left_alone():
    assert plan_addresses(names("a"), [address("a", 9)], NOW, POLICY).actions == ()


def test_an_address_says_to_which_discovery_names_it_leads():
    used = {("shop", "a"): Use({80: BORN}, {"web", "api"})}
    (created,) = plan_addresses(used, [], NOW, POLICY).actions
    assert created.obj.virtual_address.discovery_names == ["api", "web"]
    assert plan_addresses(used, [created.obj], NOW, POLICY).actions == ()
    (changed,) = plan_addresses({("shop", "a"): Use({80: BORN}, {"web"})}, [created.obj], NOW, POLICY).actions
    assert changed.obj.virtual_address.discovery_names == ["web"]
    (released,) = plan_addresses({}, [changed.obj], NOW, POLICY).actions
    assert released.obj.virtual_address.discovery_names == []


def test_what_is_no_longer_used_is_released_once():
    released = plan_addresses({}, [address("a", 1)], NOW, POLICY)
    assert told(released) == [("Change", "a", 1, True)]
    assert plan_addresses({}, [released.actions[0].obj], NOW, POLICY).actions == ()


def test_a_name_that_returns_gets_what_it_had():
    assert told(plan_addresses(names("a"), [address("a", 7, released=99999)], NOW, POLICY)) == [
        ("Change", "a", 7, False)
    ]


def test_when_none_is_fresh_the_one_that_rested_longest_is_given_out():
    known = [address("a", 1, released=700), address("b", 2, released=800)]
    plan = plan_addresses(names("c"), known, NOW, POLICY, TWO)
    assert told(plan) == [("Remove", "b", 2, True), ("Create", "c", 2, False)]


def test_when_none_has_rested_it_says_so_and_looks_again_when_one_has():
    known = [address("a", 1), address("b", 2, released=100)]
    plan = plan_addresses(names("a", "c"), known, NOW, POLICY, TWO)
    assert plan.actions == ()
    assert plan.wake_at == NOW + 500
    assert "no virtual address is left for shop/c: all 2 from 127.255.0.1 to 127.255.0.2" in plan.problem


def births(plan):
    [action] = plan.actions
    return dict(action.obj.virtual_address.births)


def test_a_name_remembers_the_deployment_that_brought_each_of_its_ports():
    new = plan_addresses({("shop", "a"): Use({80: 7})}, [], NOW, POLICY)
    assert births(new) == {80: 7}
    [created] = new.actions
    later = plan_addresses({("shop", "a"): Use({80: 9, 90: 9})}, [created.obj], NOW, POLICY)
    assert births(later) == {80: 7, 90: 9}
    [changed] = later.actions
    assert births(plan_addresses({("shop", "a"): Use({90: 12})}, [changed.obj], NOW, POLICY)) == {90: 9}


def test_a_name_that_was_given_up_and_returns_is_born_again():
    released = plan_addresses({}, [address("a", 7)], NOW, POLICY).actions[0].obj
    assert births(plan_addresses({("shop", "a"): Use({80: 9})}, [released], NOW, POLICY)) == {80: 9}


def test_the_names_of_a_registry_that_kept_no_births_were_always_there():
    old = address("a", 7)
    old.virtual_address.ClearField("births")
    assert births(plan_addresses({("shop", "a"): Use({80: 9})}, [old], NOW, POLICY)) == {80: 0}


def applied(known, plan):
    after = {each.meta.name: each for each in known}
    for action in plan.actions:
        if isinstance(action, Create):
            assert action.obj.meta.name not in after
        if isinstance(action, Remove):
            del after[action.obj.meta.name]
        if isinstance(action, Create | Change):
            after[action.obj.meta.name] = action.obj
    return list(after.values())


@given(st.lists(st.tuples(st.sets(st.sampled_from("abcdefgh"), max_size=5), st.sampled_from([1, 300, 601]))))
def test_however_names_come_and_go_addresses_stay_unique_and_rest(steps):
    space = AddressSpace(SPACE.first, SPACE.first + 4)
    now, known, last_used = NOW, [], {}
    for used, seconds in steps:
        now += seconds
        plan = plan_addresses(names(*used), known, now, POLICY, space)
        known = applied(known, plan)
        held = {each.virtual_address.ip: each.virtual_address for each in known}
        assert len(held) == len(known)
        assert plan_addresses(names(*used), known, now, POLICY, space).actions == ()
        for ip, body in held.items():
            if body.HasField("released_at"):
                continue
            name, when = last_used.get(ip, (body.dns_name, 0))
            assert name == body.dns_name or now - when >= POLICY.address_rest
            last_used[ip] = (body.dns_name, now)
        assert {body.dns_name for body in held.values() if not body.HasField("released_at")} == used or plan.problem
