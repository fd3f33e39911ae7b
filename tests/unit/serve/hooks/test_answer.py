"""Every kind of reply, and what it means."""

import pytest
from google.protobuf import json_format

from tsunagu.serve.hooks.answer import answer


@pytest.mark.parametrize(
    ("reply", "status", "delay", "details"),
    [
        ('{"hookStatus": "SUCCEEDED"}', "SUCCEEDED", None, None),
        ('{"hookStatus": "FAILED"}', "FAILED", None, None),
        ('{"hookStatus": "IN_PROGRESS"}', "IN_PROGRESS", None, None),
        ('{"hookStatus": "IN_PROGRESS", "callBackDelay": 60}', "IN_PROGRESS", 60.0, None),
        (
            '{"hookStatus": "IN_PROGRESS", "callBackDelay": 0.5, "hookDetails": {"a": [1]}}',
            "IN_PROGRESS",
            0.5,
            {"a": [1]},
        ),
        ('{"hookStatus": "SUCCEEDED", "callBackDelay": null, "more": 1}', "SUCCEEDED", None, None),
        (' {"hookStatus": "SUCCEEDED"}\n', "SUCCEEDED", None, None),
    ],
)
def test_a_reply_as_on_aws(reply, status, delay, details):
    said = answer(reply.encode())
    assert (said.status, said.reason) == (status, "it answered FAILED" if status == "FAILED" else "")
    assert (said.call_back_delay if said.HasField("call_back_delay") else None) == delay
    assert (json_format.MessageToDict(said.hook_details) if said.HasField("hook_details") else None) == details


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "it has replied nothing"),
        (b" \n", "it has replied nothing"),
        (b"ok\n", "its reply is no JSON: ok"),
        (b"\xff\x00", "its reply is no JSON: \ufffd?"),
        (b"[" * 100_000, f"its reply is no JSON: {'[' * 200}..."),
        (b'"SUCCEEDED"', 'its reply is no JSON object: "SUCCEEDED"'),
        (b"null", "its reply is no JSON object: null"),
        (b"{}", "its reply has no hookStatus (SUCCEEDED, FAILED, IN_PROGRESS): {}"),
        (b'{"statusCode": 200}', 'its reply has no hookStatus (SUCCEEDED, FAILED, IN_PROGRESS): {"statusCode": 200}'),
        (b'{"errorMessage": "no bucket", "errorType": "KeyError"}', "it has raised KeyError: no bucket"),
        (b'{"hookStatus": "OK"}', 'its hookStatus is "OK", and not one of SUCCEEDED, FAILED, IN_PROGRESS'),
        (b'{"hookStatus": null}', "its hookStatus is null, and not one of SUCCEEDED, FAILED, IN_PROGRESS"),
        (b'{"hookStatus": ["FAILED"]}', 'its hookStatus is ["FAILED"], and not one of SUCCEEDED, FAILED, IN_PROGRESS'),
        (b'{"hookStatus": "AWAITING_ACTION"}', None),
        (b'{"hookStatus": "TIMED_OUT"}', None),
        (
            b'{"hookStatus": "IN_PROGRESS", "callBackDelay": "60"}',
            'its callBackDelay is "60", and no number of seconds',
        ),
        (b'{"hookStatus": "IN_PROGRESS", "callBackDelay": -1}', "its callBackDelay is -1, and no number of seconds"),
        (
            b'{"hookStatus": "IN_PROGRESS", "callBackDelay": true}',
            "its callBackDelay is true, and no number of seconds",
        ),
        (b'{"hookStatus": "IN_PROGRESS", "callBackDelay": NaN}', "its callBackDelay is NaN, and no number of seconds"),
        (b'{"hookStatus": "IN_PROGRESS", "callBackDelay": 1e9}', None),
        (b'{"hookStatus": "SUCCEEDED", "hookDetails": [1]}', "its hookDetails are no JSON object"),
        (b'{"hookStatus": "SUCCEEDED", "hookDetails": {"a": [NaN]}}', "its hookDetails are no JSON object"),
    ],
)
def test_any_other_reply_has_failed_and_says_why(reply, reason):
    said = answer(reply)
    assert said.status == "FAILED"
    assert said.reason == reason if reason is not None else said.reason
