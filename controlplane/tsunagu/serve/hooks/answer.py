"""What a function's reply means: ECS's `{"hookStatus": ..., "callBackDelay": ..., "hookDetails": ...}`.

The one rule: a reply without a valid hookStatus is a failure, as on AWS, and the reason says what was wrong with it.

Source: ECS Developer Guide, Lambda hooks for service deployments.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from google.protobuf import json_format, struct_pb2

from tsunagu.model.statuses import HookStatus
from tsunagu.v1.deployments_pb2 import HookAnswer

STATUSES: Final = (HookStatus.SUCCEEDED, HookStatus.FAILED, HookStatus.IN_PROGRESS)
MOST_DELAY: Final = 14 * 86_400.0
"""Seconds: the longest timeout of a hook."""
_SHOWN: Final = 200  # characters of what somebody else wrote


def failed(reason: str) -> HookAnswer:
    """The answer of a function that could not be called, or did not answer."""
    return HookAnswer(status=HookStatus.FAILED, reason=reason)


def answer(reply: bytes) -> HookAnswer:
    """Return what the reply says. Never raises: what cannot be read has failed."""
    try:
        said = json.loads(reply)
    except (ValueError, RecursionError):
        return failed(f"its reply is no JSON: {shown(reply)}" if reply.strip() else "it has replied nothing")
    if not isinstance(said, dict):
        return failed(f"its reply is no JSON object: {shown(reply)}")
    if "hookStatus" not in said:
        if "errorMessage" in said:  # how Lambda says that a function has raised
            return failed(
                f"it has raised {said.get('errorType', 'an error')}: {shown(str(said['errorMessage']).encode())}"
            )
        return failed(f"its reply has no hookStatus ({', '.join(STATUSES)}): {shown(reply)}")
    return _answer(said)


def _answer(said: dict[str, Any]) -> HookAnswer:
    status, delay, details = said["hookStatus"], said.get("callBackDelay"), said.get("hookDetails")
    if status not in STATUSES:
        return failed(f"its hookStatus is {shown(json.dumps(status).encode())}, and not one of {', '.join(STATUSES)}")
    made = failed("it answered FAILED") if status == HookStatus.FAILED else HookAnswer(status=status)
    if delay is not None:
        if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= MOST_DELAY:
            return failed(f"its callBackDelay is {shown(json.dumps(delay).encode())}, and no number of seconds")
        made.call_back_delay = delay
    if details is not None:
        if not isinstance(details, dict) or not _finite(details):
            return failed("its hookDetails are no JSON object")
        made.hook_details.CopyFrom(json_format.ParseDict(details, struct_pb2.Value()))
    return made


def _finite(value: Any) -> bool:
    """Whether no number in it is NaN or infinite: Python reads them, and JSON has none."""
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def shown(text: bytes) -> str:
    """The begin of what somebody else wrote, on one line."""
    line = " ".join(text.decode(errors="replace").split())
    printable = "".join(sign if sign.isprintable() else "?" for sign in line)
    return printable if len(printable) <= _SHOWN else f"{printable[:_SHOWN]}..."
