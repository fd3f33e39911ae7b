"""xds override and xds hold: what is asked of the control plane, and what is refused before."""

import pytest

from tsunagu.cli.commands.steering import raw_resource
from tsunagu.cli.errors import CliError
from tsunagu.v1 import inspector_pb2

BAD = "name: broken\nfilter_chains:\n- filters: []\n"


NESTED = """
name: broken
filter_chains:
- filters:
  - name: tcp
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: x
"""


@pytest.mark.parametrize(
    "text",
    [
        BAD,
        "'@type': type.googleapis.com/envoy.config.listener.v3.Listener\n" + BAD,
        NESTED,
        '{"name": "broken", "filterChains": [{"filters": []}]}',
    ],
)
def test_a_raw_resource_is_read_from_a_file_with_or_without_its_type(tmp_path, text):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    assert raw_resource(file, "LDS", "broken").startswith(b"\x0a\x06broken")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: broken\nadress: {}\n", "bad.yaml:2:1: adress: "),
        ("name: other\n", "holds Listener 'other', not the LDS 'broken' alone"),
    ],
)
def test_a_raw_resource_that_is_wrong_is_told_at_its_line(tmp_path, text, told):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(CliError) as caught:
        raw_resource(file, "LDS", "broken")
    assert told in str(caught.value)
    assert caught.value.code == 3


def test_an_override_takes_a_file_or_is_removed(server, tsunagu, tmp_path):
    assert tsunagu("xds", "override", "shop", "LDS", "broken", "--home", server.home.root).exit_code == 2
    wrong = tsunagu("xds", "override", "shp", "LDS", "broken", "--remove", "--home", server.home.root)
    assert wrong.exit_code == 4


@pytest.fixture
def web(server):
    server.inspector.proxies = [inspector_pb2.Proxy(name="default/web-11111111", connected=True)]
    return server


def test_a_hold_says_for_whom_and_for_how_long(web, tsunagu):
    done = tsunagu("xds", "hold", "web", "eds", "--for", "1m", "--home", web.home.root)
    assert (done.exit_code, done.stdout) == (0, "EDS for web-11111111 is kept back for 60s\n")
    [asked] = web.inspector.holds
    assert (asked.proxy, asked.type, asked.seconds) == ("default/web-11111111", "EDS", 60)


def test_a_hold_is_ten_seconds_and_can_be_released(web, tsunagu):
    tsunagu("xds", "hold", "web-11111111", "EDS", "--home", web.home.root)
    done = tsunagu("xds", "hold", "web", "EDS", "--release", "--home", web.home.root)
    assert done.stdout == "EDS for web-11111111 is no longer kept back\n"
    assert [asked.seconds for asked in web.inspector.holds] == [10, 0]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["web", "EDS", "--for", "2m"], 2, "a hold lasts up to 60s"),
        (["web", "EDS", "--for", "0s"], 2, "a hold lasts up to 60s"),
        (["web", "EDS", "--for", "soon"], 2, "write 10s, 500ms or 1m30s"),
        (["web", "XYZ"], 2, "the types are CDS"),
        (["nobody", "EDS"], 4, "nobody"),
    ],
)
def test_what_cannot_be_held_is_told(web, tsunagu, words, code, told):
    wrong = tsunagu("xds", "hold", *words, "--home", web.home.root)
    assert (wrong.exit_code, told in wrong.stderr) == (code, True)
    assert web.inspector.holds == []
