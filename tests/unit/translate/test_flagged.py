"""Counters of what failed: the same for every alias, bounded, and of no cost to what succeeds."""

from envoy_data_plane.envoy.extensions.access_loggers.stats.v3 import Config

from tsunagu.translate import flagged, names


def test_an_alias_has_no_counter_of_its_own():
    assert flagged.egress() is flagged.egress()


def test_only_what_failed_is_counted_and_of_at_most_so_many_kinds():
    log = flagged.ingress("http")
    assert len(log.filter.or_filter.filters) == 3
    scope = Config.parse(log.typed_config.value).stats_scope
    assert (scope.prefix, scope.max_counters) == ("flagged.ingress.http", flagged.MOST_COUNTERS)


def test_a_proxy_names_itself_as_readers_of_its_counters_expect():
    assert flagged.proxy_status().literal_proxy_name == names.PROXY == "tsunagu"
