"""Lists as the service gives them: filtered, sorted, and in pages."""

import base64
import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from moto.sagemaker.exceptions import SagemakerClientError

from cloudtune_sagemaker.emulator import errors

Row = Mapping[str, Any]

PAGE = 10
"""Rows of a page where the request does not say ("The default value is 10" of the lists' MaxResults)."""


def listed(
    rows: Iterable[Row],
    request: Mapping[str, Any],
    *,
    name: str,
    status: str,
    keys: Mapping[str, Callable[[Row], Any]],
    status_last: bool = False,
) -> tuple[list[Row], str | None]:
    """Return a page of the rows that a list request asks for.

    Args:
        rows: all there are.
        request: the members of a list operation: its filters, SortBy, SortOrder, MaxResults and NextToken.
        name: the member of a row with its name.
        status: the member of a row with its status.
        keys: what rows are sorted by, for each value of SortBy; the first is the default. A row whose key is None
            is left out.
        status_last: whether StatusEquals is applied to each page, and may leave an empty one. So ListTrainingJobs does
            ("first retrieved ignoring the StatusEquals parameter and then they are filtered by" it).

    Returns:
        The rows, and the token for the page that follows, if one does.

    Raises:
        SagemakerClientError: the token is none that was given.
    """
    key = keys[request.get("SortBy") or next(iter(keys))]
    kept = [row for row in rows if _wanted(row, request, name) and (status_last or _in_status(row, request, status))]
    placed = sorted((place, row[name], row) for row in kept if (place := key(row)) is not None)
    if request.get("SortOrder") == "Descending":
        placed.reverse()
    page, token = _page(placed, request)
    return [row for row in page if _in_status(row, request, status)], token


def _in_status(row: Row, request: Mapping[str, Any], status: str) -> bool:
    wanted = request.get("StatusEquals")
    return wanted is None or row[status] == wanted


def _wanted(row: Row, request: Mapping[str, Any], name: str) -> bool:
    text, pool = request.get("NameContains"), request.get("WarmPoolStatusEquals")
    plan = request.get("TrainingPlanArnEquals")
    return (
        (text is None or text.casefold() in row[name].casefold())
        and (plan is None or row.get("TrainingPlanArn") == plan)
        and (pool is None or row.get("WarmPoolStatus", {}).get("Status") == pool)
        and _within(row, request, "CreationTime")
        and _within(row, request, "LastModifiedTime")
    )


def _within(row: Row, request: Mapping[str, Any], member: str) -> bool:
    after, before = request.get(f"{member}After"), request.get(f"{member}Before")
    if after is None and before is None:
        return True
    at = row[member]
    return (after is None or at > as_moment(after)) and (before is None or at < as_moment(before))


def as_moment(value: float | str | datetime) -> datetime:
    """Return a timestamp of a request: seconds since 1970, or a text in ISO 8601."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, str):
        return as_moment(datetime.fromisoformat(value))
    return datetime.fromtimestamp(value, UTC)


def _page(placed: Sequence[tuple[Any, str, Row]], request: Mapping[str, Any]) -> tuple[list[Row], str | None]:
    """Return the rows behind the one that the token names: they do not shift when rows are added before it."""
    token, size = request.get("NextToken"), request.get("MaxResults") or PAGE
    if token:
        behind = operator.lt if request.get("SortOrder") == "Descending" else operator.gt
        last = _read_token(token)
        try:
            placed = [(place, name, row) for place, name, row in placed if behind([_plain(place), name], last)]
        except TypeError:  # the token of a list in another order
            raise _bad_token() from None
    page = placed[:size]
    more = len(placed) > size
    return [row for _, _, row in page], _write_token([_plain(page[-1][0]), page[-1][1]]) if more else None


def _plain(place: Any) -> Any:
    return place.timestamp() if isinstance(place, datetime) else place


def _write_token(last: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


def _read_token(token: str) -> list[Any]:
    try:
        place, name = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError:
        raise _bad_token() from None
    return [place, name]


def _bad_token() -> SagemakerClientError:
    return errors.invalid("Invalid NextToken")
