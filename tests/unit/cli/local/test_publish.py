import socket

import pytest

from tsunagu.cli.errors import CliError
from tsunagu.cli.local.publish import PublishedPort, check_free, check_twice, documents, parse, take_free
from tsunagu.model.manifests import formats

OFFERS = [("shop", "web", "80"), ("shop", "orders", "80"), ("blog", "web", "80")]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("8080=orders:80", ("", 8080, "orders", 80)),
        ("0.0.0.0:1=web.shop:80", ("0.0.0.0", 1, "web.shop", 80)),
        ("[::1]:8080=web:80", ("::1", 8080, "web", 80)),
        ("localhost:8080=web:80", ("127.0.0.1", 8080, "web", 80)),
    ],
)
def test_how_it_is_written(text, entry):
    assert parse(text) == PublishedPort(text, *entry)


@pytest.mark.parametrize("text", ["8080", "8080=web", "web:80=8080", "0=web:80", "8080=web:65536", "a:8080=web:80"])
def test_what_is_not_understood_is_told_how_to_write_it(text):
    with pytest.raises(CliError) as caught:
        parse(text)
    assert caught.value.code == 2
    assert "8080=web:80" in caught.value.right


def test_one_gateway_for_a_namespace():
    made = documents([parse("1=orders:80"), parse("2=web.shop:80"), parse("3=web.blog:80")], OFFERS)
    assert [(one.kind, one.name, one.message.namespace) for one in made] == [
        ("Gateway", "publish-shop", "shop"),
        ("Gateway", "publish-blog", "blog"),
    ]
    assert [(port.host_port, port.alias, port.port) for port in made[0].message.ports] == [
        (1, "orders", 80),
        (2, "web", 80),
    ]


def test_a_name_of_two_namespaces_is_refused_with_both():
    with pytest.raises(CliError, match="several namespaces") as caught:
        documents([parse("8080=web:80")], OFFERS)
    assert caught.value.right == "say which: 8080=web.shop:80, 8080=web.blog:80"


def test_a_name_that_nobody_offers_is_answered_with_the_nearest():
    with pytest.raises(CliError, match="no service offers ordrs:80") as caught:
        documents([parse("8080=ordrs:80")], OFFERS)
    assert caught.value.right == 'did you mean "orders:80"?'


def test_a_port_that_is_taken_is_told_before_anything_starts():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(CliError, match=f"cannot listen at 127.0.0.1:{taken}: Address already in use"):
            check_free(documents([parse(f"{taken}=orders:80")], OFFERS))


def test_a_port_of_a_manifests_gateway_that_is_taken_is_told_with_its_line():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        text = f"kind: Gateway\nname: front\nnamespace: shop\nports:\n- {{hostPort: {taken}, alias: web, port: 80}}\n"
        read = formats.read([formats.Source("front.yaml", text)])
        with pytest.raises(CliError, match=f"front.yaml:5: cannot listen at 127.0.0.1:{taken}: Address already in use"):
            check_free(read)


def test_two_options_with_one_port_are_a_mistake_of_the_command_line():
    check_twice([parse("8080=web:80"), parse("127.0.0.2:8080=orders:80")])
    with pytest.raises(CliError, match="port 8080 is taken by --publish '8080=web:80'") as caught:
        check_twice([parse("8080=web:80"), parse("127.0.0.1:8080=orders:80")])
    assert caught.value.code == 2


def test_with_any_port_each_port_becomes_a_free_one_and_stays_that():
    chosen = {}
    first, again, other = (documents([parse("8080=orders:80"), parse("8081=web.shop:80")], OFFERS) for _ in range(3))
    take_free(first, chosen)
    take_free(again, chosen)
    take_free(other, {})
    ports = [port.host_port for port in first[0].message.ports]
    assert len({*ports, 8080, 8081, 0}) == 5
    assert [port.host_port for port in again[0].message.ports] == ports
    assert not set(ports) & {port.host_port for port in other[0].message.ports}
    check_free(first)


def test_any_port_is_no_cure_for_an_address_that_this_machine_has_not():
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        take_free(documents([parse("192.0.2.1:8080=orders:80")], OFFERS), {})
