"""gRPC's own clients: their token is in the node's metadata, their name their own."""

import pytest
from google.protobuf.struct_pb2 import Struct

from tsunagu.kit.tokens import mint
from tsunagu.serve.xds.ads import NodeInfo, PermissionDenied, Scope, Unauthenticated
from tsunagu.serve.xds.authentication import Authenticator

KEY = b"k" * 32
SCOPES = {
    "grpc/shop/billing": ("ns/shop", "grpc/shop"),
    "default/web-1": ("ns/shop", "rev/default/web/a1"),
}


@pytest.fixture
def authenticator():
    return Authenticator(KEY, SCOPES.get)


def node(agent="gRPC C-core linux Python", **metadata):
    struct = Struct()
    struct.update(metadata)
    return NodeInfo(id="whoever", user_agent=agent, metadata_bytes=struct.SerializeToString())


def test_the_token_says_who_a_client_is(authenticator):
    found = authenticator.authorize({}, node(**{"tsunagu.token": mint(KEY, "grpc/shop/billing")}))
    assert found == Scope("grpc/shop/billing", SCOPES["grpc/shop/billing"], legacy_wildcard=False, shared_identity=True)


def test_a_client_cannot_pass_for_its_tasks_proxy(authenticator):
    with pytest.raises(PermissionDenied, match="a gRPC client has a token of its own"):
        authenticator.authorize({}, node(**{"tsunagu.token": mint(KEY, "default/web-1")}))


@pytest.mark.parametrize(
    "metadata",
    [{}, {"tsunagu.token": "v1.x.y"}, {"tsunagu.token": 7}, {"tsunagu.token": mint(b"0" * 32, "grpc/shop/billing")}],
    ids=["none", "malformed", "a number", "another mesh's"],
)
def test_without_a_good_token_nobody_is_authorized(authenticator, metadata):
    with pytest.raises(Unauthenticated) as caught:
        authenticator.authorize({}, node(**metadata))
    assert "v1." not in str(caught.value).replace("v1.NAME.MAC", "")


def test_envoys_bear_theirs_elsewhere(authenticator):
    with pytest.raises(Unauthenticated, match=r"a gRPC client node.metadata with 'tsunagu.token'"):
        authenticator.authorize({}, node("envoy", **{"tsunagu.token": mint(KEY, "default/web-1")}))


def test_a_namespace_that_is_gone_has_no_clients(authenticator):
    with pytest.raises(PermissionDenied, match="'grpc/blog/billing'"):
        authenticator.authorize({}, node(**{"tsunagu.token": mint(KEY, "grpc/blog/billing")}))


def test_a_node_does_not_show_its_metadata():
    token = mint(KEY, "grpc/shop/billing")
    assert token not in repr(node(**{"tsunagu.token": token}))
