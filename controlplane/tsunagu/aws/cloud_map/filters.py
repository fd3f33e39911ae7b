"""Which items of a list a request asks for, by its Filters.

The one rule: which conditions a filter knows is a row of a table, as AWS's reference has them; another one is refused.

Source: AWS Cloud Map API Reference, NamespaceFilter, ServiceFilter, OperationFilter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws.cloud_map.world import INVALID
from tsunagu.aws.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Name of a filter -> the conditions that it knows.
CONDITIONS: Final[Mapping[str, frozenset[str]]] = {
    "TYPE": frozenset({"EQ", "IN"}),
    "NAME": frozenset({"EQ", "BEGINS_WITH"}),
    "HTTP_NAME": frozenset({"EQ", "BEGINS_WITH"}),
    "RESOURCE_OWNER": frozenset({"EQ"}),
    "NAMESPACE_ID": frozenset({"EQ"}),
    "SERVICE_ID": frozenset({"EQ"}),
    "STATUS": frozenset({"EQ", "IN"}),
    "UPDATE_DATE": frozenset({"BETWEEN"}),
}
_SELF: Final = "SELF"
_MEETS: Final[Mapping[str, Callable[[str, Sequence[str]], bool]]] = {
    "EQ": lambda value, values: value == values[0],
    "IN": lambda value, values: value in values,
    "BEGINS_WITH": lambda value, values: value.startswith(values[0]),
    "BETWEEN": lambda value, values: float(values[0]) <= float(value) <= float(values[1]),
}
#: Condition -> how many values it takes; IN takes any number.
_TAKES: Final = {"EQ": 1, "BEGINS_WITH": 1, "BETWEEN": 2}


def matcher(filters: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, str]], bool]:
    """Return whether an item, given by the values that filters name, meets all of them. Raises AwsError for one that is not valid."""
    for one in filters:
        _check(one)
    return lambda item: all(_MEETS[one.get("Condition", "EQ")](item[one["Name"]], one["Values"]) for one in filters)


def owner() -> str:
    """The value of RESOURCE_OWNER of everything here."""
    return _SELF


def _check(given: Mapping[str, Any]) -> None:
    name, condition, values = given["Name"], given.get("Condition", "EQ"), given["Values"]
    if condition not in CONDITIONS[name]:
        known = ", ".join(sorted(CONDITIONS[name]))
        raise AwsError(INVALID, f"The filter {name} takes the conditions {known}, not {condition}.")
    expected = _TAKES.get(condition, len(values))
    if len(values) != expected or not values:
        raise AwsError(INVALID, f"{condition} takes {expected or 'at least one'} value(s), not {len(values)}.")
    if condition == "BETWEEN" and not all(_is_number(value) for value in values):
        raise AwsError(INVALID, f"{name} takes seconds since the epoch.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
