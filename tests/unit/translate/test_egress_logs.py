"""The egress access log and the counts of calls to nobody: what they are, and that no alias has one of its own."""

from envoy_data_plane.envoy.extensions.access_loggers.stats.v3 import Config
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog

from tsunagu.translate import egress_logs, names


def test_an_alias_has_no_log_of_its_own():
    """So that a thousand aliases cost the making of one."""
    assert egress_logs.http() is egress_logs.http()
    assert egress_logs.tcp() is egress_logs.tcp()


def test_a_line_tells_no_query():
    log = StdoutAccessLog.parse(egress_logs.http().typed_config.value)
    line = log.log_format.text_format_source.inline_string
    assert line.startswith("egress start=%START_TIME% to=%DOWNSTREAM_LOCAL_ADDRESS% ")
    assert "%PATH(NQ:ORIG_OR_PATH)%" in line
    assert "WQ:" not in line


def test_the_log_is_off_until_a_runtime_key_is_set():
    everything, failures = egress_logs.http().filter.or_filter.filters
    assert everything.runtime_filter.runtime_key == names.EGRESS_LOG
    assert everything.runtime_filter.percent_sampled.numerator == 0
    switch, which = failures.and_filter.filters
    assert switch.runtime_filter.runtime_key == names.EGRESS_ERRORS
    assert switch.runtime_filter.percent_sampled.numerator == 0
    assert len(which.or_filter.filters) == 3


def test_counters_of_destinations_are_bounded():
    config = Config.parse(egress_logs.unoffered().typed_config.value)
    assert config.stats_scope.max_counters == egress_logs.MOST_DESTINATIONS


def test_a_stat_of_calls_to_nobody_tells_where_they_went():
    assert names.unoffered_destination("unoffered.calls.to.127.255.0.1:80") == "127.255.0.1:80"
    assert names.unoffered_destination("cluster.blackhole.upstream_cx_none_healthy") == ""
