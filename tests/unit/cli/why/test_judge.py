"""What `tsunagu why` says to each fault, and that it is never wrong and sure at once.

The sentences stand in docs/why.md, which is compared with them; `TSUNAGU_REWRITE=1` writes that table anew.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.why import cases, tls_cases
from tests.unit.cli.why.cases import OK, WEB, Case, failing, held, server, task, well
from tests.unit.cli.why.tls_cases import certificate, identity, secured
from tsunagu.cli.commands.traffic.why import as_values
from tsunagu.cli.why.facts import Answer, Host
from tsunagu.cli.why.judge import judge
from tsunagu.cli.why.steps import walk
from tsunagu.cli.why.verdict import State, Sure

CASES = (*cases.CASES, *tls_cases.CASES)
PAGE = Path(__file__).parents[4] / "docs" / "why.md"
BEGIN, END = "<!-- sentences: made by tests/unit/cli/why -->\n", "<!-- end of sentences -->\n"
IDS = [f"{case.kind}: {case.what}" for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_each_fault_is_told(case: Case):
    verdict = judge(case.facts).verdict
    assert (verdict.kind, verdict.sure) == (case.kind, case.sure), verdict.sentence


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_all_that_it_knows_is_told_to_programs(case: Case):
    assert json.dumps(as_values(case.facts, judge(case.facts), walk(case.facts)))


def test_the_page_says_what_why_says():
    rows = [f"| {case.what} | `{case.kind}` | {judge(case.facts).verdict.sentence} |" for case in CASES]
    table = "\n".join(["| fault | kind | what `why` says |", "|---|---|---|", *rows]) + "\n"
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("TSUNAGU_REWRITE"):
        PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}")
    else:
        assert shown == table, "run it with TSUNAGU_REWRITE=1"


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_call_that_comes_through_contradicts_a_fault_that_ends_every_call(case: Case):
    if case.facts.alias is None:
        return
    verdict = judge(replace(case.facts, answer=OK if case.facts.alias.is_http else Answer(spoke="other"))).verdict
    assert not (verdict.blocks and verdict.tried and verdict.sure is Sure.YES), verdict.sentence


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_could_not_be_seen_leaves_nobody_sure_of_what_needs_it(case: Case):
    blind = replace(case.facts, held=None, servers=(), answer=None, hosts_file=None, stream=None)
    blind = replace(blind, missing={"caller's node agent": "it does not answer"})
    verdict = judge(blind).verdict
    if verdict.sure is Sure.YES:
        assert verdict.kind == judge(case.facts).verdict.kind, verdict.sentence


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_way_can_be_walked(case: Case):
    way = walk(case.facts)
    assert way[0].name == "task"
    if case.kind == "works":
        assert {step.state for step in way} == {State.GOOD}


def test_some_of_several_tasks():
    """A fault of one of two tasks ends no call for sure: Envoy tries the other."""
    two = well(
        providers=(task(1), task(2)),
        held=held(hosts=(Host("10.88.0.1:8080", ejected=True), Host("10.88.0.2:8080"))),
        servers=(server(app=Answer(timed_out=True, seconds=16)), replace(server(), task="api-2")),
    )
    verdict = judge(two).verdict
    assert verdict.kind == "app-hangs"
    assert not verdict.blocks
    assert verdict.sure is Sure.YES
    assert "(1 of 2 tasks); 1 of 2 endpoints ejected" in verdict.sentence


def test_an_answer_to_the_preface_of_http2_does_not_make_an_http_app_a_stranger():
    """Python's own server answers it with a page and without a status line."""
    slow = server(app=Answer(timed_out=True, seconds=2), http2=Answer(spoke="other"))
    verdict = judge(well(servers=(slow,), answer=Answer(timed_out=True, seconds=2))).verdict
    assert (verdict.kind, verdict.sure) == ("app-hangs", Sure.LIKELY)


def test_a_caller_that_stops_is_no_fault_of_its_envoy():
    """It had an answer, and before its Envoy was looked at it had ended with it."""
    stops = well(
        caller=replace(WEB, status="STOPPING", proxy_state="STOPPED"), missing={"caller's Envoy": "it has ended"}
    )
    assert judge(stops).verdict.kind == "caller-not-running"


def test_of_many_tasks_a_few_are_looked_at():
    """Five are, and what holds of each of them is not said of the sixth."""
    six = [task(number) for number in range(1, 7)]
    looked_at = tuple(replace(server(app=Answer(ended="closed")), task=one.task) for one in six[:5])
    verdict = judge(well(providers=tuple(six), servers=looked_at, **failing())).verdict
    assert verdict.kind == "app-closes"
    assert "(5 of 5 tasks that were looked at, of 6)" in verdict.sentence
    assert not verdict.blocks


def test_facts_that_conflict():
    """The app answers when it is asked directly, and its proxy says that it cannot be reached."""
    verdict = judge(well(**failing())).verdict
    assert verdict.kind == "unreachable"
    assert verdict.sure is not Sure.YES


def test_an_app_that_fails_only_now_and_then():
    flaky = well(servers=(server(app=Answer(status=500, spoke="http1")),))
    verdict = judge(flaky).verdict
    assert verdict.kind == "app-5xx"
    assert verdict.sure is Sure.NO
    assert verdict.sentence.endswith("(but a call just now came through: 200 in 3 ms).")


def test_other_faults_on_the_way_are_told_as_well():
    both = well(
        hosts_file={},
        servers=(server(app=Answer(timed_out=True, seconds=16)),),
        answer=Answer(timed_out=True, seconds=5),
    )
    judgement = judge(both)
    assert judgement.verdict.kind == "no-hosts-line"
    assert [one.kind for one in judgement.others] == ["app-hangs"]


def test_the_way_names_the_rule_and_the_policy_that_a_call_takes():
    (found,) = (step.found for step in walk(well(policy="shop/api")) if step.name == "route")
    assert found.endswith("as TrafficPolicy shop/api says")


def test_of_two_servers_one_with_an_expired_certificate_ends_no_call_for_sure():
    first = secured().providers[0]
    two = secured(
        providers=(first, replace(first, task="api-2", ip="10.88.0.2")),
        identities=(identity(), identity("api", certificate("api", left=-90)), replace(identity("api"), task="api-2")),
    )
    verdict = judge(two).verdict
    assert verdict.kind == "identity-expired"
    assert not verdict.blocks
    assert "(1 of 2 tasks)" in verdict.sentence


def test_connections_that_were_open_go_on_with_a_certificate_that_has_expired_meanwhile():
    verdict = judge(secured(caller=identity(shown=certificate(left=-1)), answer=OK)).verdict
    assert (verdict.kind, verdict.sure) == ("identity-expired", Sure.NO)
    assert "new connections with it are refused" in verdict.sentence


def test_a_certificate_that_is_just_renewed_is_no_fault():
    """Envoy has it before the registry does."""
    assert judge(secured(caller=identity(shown=certificate(serial="a2")), answer=OK)).verdict.kind == "works"


def test_a_plaintext_port_is_called_without_any_certificate():
    plain = well(identities=(identity(shown=certificate(left=-90)), identity("api")), answer=None)
    assert judge(plain).verdict.kind == "nothing-seen"
