"""Which addresses a mesh's tasks get."""

from ipaddress import IPv4Network

from tsunagu_node.runtime.docker.subnets import candidates, routed

MESH = "0000000000ff"
ROUTES = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100000A	0003	0	0	0	00000000	0	0	0
eth0	0000600A	00000000	0001	0	0	0	00F0FFFF	0	0	0
"""


def test_routes_that_there_are_but_the_default():
    assert routed(ROUTES) == [IPv4Network("10.96.0.0/20")]


def test_a_network_that_is_used_is_left_out():
    first, *_ = candidates(MESH, [])
    assert first.subnet_of(IPv4Network("10.96.0.0/11"))
    assert first not in candidates(MESH, [first])
    assert first not in candidates(MESH, [IPv4Network("10.0.0.0/8")])
    assert next(candidates(MESH, [])) == first


def test_meshes_begin_at_different_places():
    assert next(candidates("000000000001", [])) != next(candidates("000000000002", []))
