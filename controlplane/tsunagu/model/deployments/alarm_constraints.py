"""The values that single members of an alarm may have: rows of the tables in ``constraints``.

The one rule: limits are CloudWatch's (its API Reference, PutMetricAlarm).
"""

from __future__ import annotations

from typing import Final

_NAME: Final = "PutMetricAlarmInput"

#: (lowest, highest) of a number, by ``Message.field``.
RANGES: Final[dict[str, tuple[int, int]]] = {
    f"{_NAME}.Period": (5, 3600),  # CloudWatch: from 10, to a day; 5 serves trying, and samples are kept for an hour
    f"{_NAME}.EvaluationPeriods": (1, 3600),
    f"{_NAME}.DatapointsToAlarm": (1, 3600),
}

#: The only values of a text.
VALUES: Final[dict[str, tuple[str, ...]]] = {
    f"{_NAME}.Statistic": ("SampleCount", "Average", "Sum", "Minimum", "Maximum"),
    f"{_NAME}.ComparisonOperator": (
        "GreaterThanOrEqualToThreshold",
        "GreaterThanThreshold",
        "LessThanThreshold",
        "LessThanOrEqualToThreshold",
    ),
    f"{_NAME}.TreatMissingData": ("missing", "breaching", "notBreaching", "ignore"),
    f"{_NAME}.EvaluateLowSampleCountPercentile": ("evaluate", "ignore"),
}

#: The form of a text: a regular expression, and in words.
PATTERNS: Final[dict[str, tuple[str, str]]] = {
    f"{_NAME}.AlarmName": (r"[^\x00-\x1f\x7f]{1,255}", "1 to 255 characters that can be shown"),
    f"{_NAME}.ExtendedStatistic": (r"p(100|\d{1,2}(\.\d{1,10})?)", "a percentile, p0 to p100, e.g. p99.9"),
}

#: How many elements a list may have.
LENGTHS: Final[dict[str, int]] = {
    f"{_NAME}.OKActions": 5,
    f"{_NAME}.AlarmActions": 5,
    f"{_NAME}.InsufficientDataActions": 5,
    f"{_NAME}.Dimensions": 30,
    f"{_NAME}.Tags": 50,
}

#: Members that must be there.
MUST: Final[dict[str, tuple[str, ...]]] = {
    _NAME: ("AlarmName", "ComparisonOperator", "EvaluationPeriods"),
    "AlarmDimension": ("Name", "Value"),
    "AlarmTag": ("Key",),
}
