"""Pages of a list, as AWS hands them out: at most MaxResults, and a token with which the next ones are asked for.

The one rule: a token is the place of the last item that was sent, so that pages stay right while items come and go; it is opaque,
and one that was not made here is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, TypeVar

from tsunagu.aws.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
#: Where an item stands in its list: a number, then a text.
Place = tuple[int, str]


def page(
    items: Iterable[T], place: Callable[[T], Place], asked: dict[str, Any], default: int, invalid: str
) -> tuple[list[T], str | None]:
    """Return the items of the page that a request asks for with MaxResults and NextToken, and the token of the next one.

    Raises AwsError with the code `invalid` for a token that is none.
    """
    after = _place_of(asked["NextToken"], invalid) if asked.get("NextToken") else None
    ordered = sorted(((place(item), item) for item in items), key=lambda each: each[0])
    rest = [each for each in ordered if after is None or each[0] > after]
    taken = rest[: asked.get("MaxResults", default)]
    more = len(taken) < len(rest)
    return [item for _, item in taken], _token(taken[-1][0]) if more else None


def _token(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place_of(token: str, invalid: str) -> Place:
    try:
        number, text = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        number, text = None, None
    if not isinstance(number, int) or not isinstance(text, str):
        raise AwsError(invalid, "NextToken is not one that this endpoint has given out.")
    return number, text
