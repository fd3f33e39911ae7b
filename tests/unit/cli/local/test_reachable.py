"""What `up` says of where its mesh can be reached."""

from tsunagu.cli.local.reachable import lines
from tsunagu.model import ids
from tsunagu.testing import objects as o
from tsunagu.v1 import objects_pb2

WEB = o.revision("default/web/a1", o.port("http", aliases=[("web", 80)]))
DB = o.revision("default/db/b1", o.port("db", app_protocol="tcp", container_port=5432, aliases=[("db", 5432)]))
SERVICES = [o.service("default/db", "b1"), o.service("default/web", "a1")]


def gateway(*ports):
    body = objects_pb2.Gateway(namespace="shop")
    for host, host_port, alias, port in ports:
        body.ports.add(host=host, host_port=host_port, alias=alias, port=port)
    return ids.make("Gateway", "front", body)


def test_each_published_port_is_shown_as_one_would_use_it():
    published = gateway(
        ("", 8080, "web", 80), ("0.0.0.0", 8081, "web.shop", 80), ("::1", 8082, "web", 80), ("", 5432, "db", 5432)
    )
    assert lines([published], SERVICES, [WEB, DB]) == [
        "http://127.0.0.1:8080/ leads to web:80",
        "http://127.0.0.1:8081/ leads to web.shop:80",
        "http://[::1]:8082/ leads to web:80",
        "127.0.0.1:5432 leads to db:5432",
    ]


def test_a_mesh_that_publishes_nothing_says_how_one_would():
    hint = "nothing of this mesh is reachable from this machine: --publish {} would publish {}"
    assert lines([], SERVICES, [DB, WEB]) == [hint.format("8080=web:80", "web")]
    assert lines([], SERVICES, [DB]) == [hint.format("5432=db:5432", "db")]


def test_without_any_name_there_is_nothing_to_say():
    assert lines([], SERVICES, []) == []
