"""An answer with stats holds two samples: this one and that of the answer before."""

from tsunagu_node.task.metadata.samples import FRESH, Samples


def sample(read, cpu, received, sent=0):
    return {
        "read": read,
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}},
        "networks": {"eth0": {"rx_bytes": received, "tx_bytes": sent}, "eth1": {"rx_bytes": 1, "tx_bytes": 1}},
    }


def test_the_first_answer_has_nothing_to_compare_with():
    answer = Samples().answer("app", "id-1", sample("t1", 5, 10), 100.0)
    assert (answer["id"], answer["read"], answer["preread"]) == ("id-1", "t1", "0001-01-01T00:00:00Z")
    assert answer["precpu_stats"] == {"cpu_usage": {"total_usage": 0}}
    assert "network_rate_stats" not in answer


def test_the_next_answer_has_the_one_before_it():
    samples = Samples()
    samples.answer("app", "id-1", sample("t1", 5, 10, 4), 100.0)
    samples.answer("other", "id-2", sample("t9", 50, 1000), 101.0)
    answer = samples.answer("app", "id-1", sample("t2", 9, 30, 4), 102.0)
    assert (answer["preread"], answer["precpu_stats"]) == ("t1", {"cpu_usage": {"total_usage": 5}})
    assert answer["network_rate_stats"] == {"rx_bytes_per_sec": 10.0, "tx_bytes_per_sec": 0.0}


def test_for_a_moment_the_last_answer_is_given_again():
    samples = Samples()
    assert samples.fresh("app", 100.0) is None
    answer = samples.answer("app", "id-1", sample("t1", 5, 10), 100.0)
    assert samples.fresh("app", 100.0 + FRESH / 2) is answer
    assert samples.fresh("app", 100.0 + FRESH) is None
    assert samples.fresh("other", 100.0) is None
    samples.answer("app", "id-1", None, 100.1)
    assert samples.fresh("app", 100.2) is None


def test_a_container_that_was_started_again_has_no_earlier_sample():
    samples = Samples()
    samples.answer("app", "id-1", sample("t1", 5, 10), 100.0)
    assert samples.answer("app", "id-1", None, 101.0) is None
    assert "network_rate_stats" not in samples.answer("app", "id-1", sample("t3", 1, 0), 102.0)


def test_counters_that_began_anew_are_no_negative_rate():
    samples = Samples()
    samples.answer("app", "id-1", sample("t1", 5, 10_000), 100.0)
    assert samples.answer("app", "id-1", sample("t2", 1, 5), 101.0)["network_rate_stats"]["rx_bytes_per_sec"] == 0
