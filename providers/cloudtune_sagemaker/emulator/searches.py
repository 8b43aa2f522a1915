"""The Search operation over training jobs and tuning jobs: filters, an order, and pages (SearchExpression)."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from cloudtune_sagemaker.emulator import errors
from cloudtune_sagemaker.emulator.listing import as_moment

PAGE = 10
"""Results of a page where the request does not say."""

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


def searched(records: Sequence[Mapping[str, Any]], request: Mapping[str, Any], member: str) -> dict[str, Any]:
    """Return the answer of Search.

    Args:
        records: as Search tells them.
        request: the members of the request.
        member: of a result, e.g. ``TrainingJob``.

    Raises:
        SagemakerClientError: the token is none that was given, or an operator needs a value.
    """
    found = [record for record in records if _fits(record, request.get("SearchExpression") or {})]
    order = request.get("SortBy") or "LastModifiedTime"
    placed = [(next(values_at(record, order), None), record) for record in found]
    known = sorted((each for each in placed if each[0] is not None), key=lambda each: _comparable(each[0]))
    if request.get("SortOrder", "Descending") == "Descending":
        known.reverse()
    rows = [record for _, record in [*known, *(each for each in placed if each[0] is None)]]
    start, size = _start(request.get("NextToken")), request.get("MaxResults") or PAGE
    answer: dict[str, Any] = {
        "Results": [{member: row} for row in rows[start : start + size]],
        "TotalHits": {"Value": len(rows), "Relation": "EqualTo"},
    }
    return {**answer, "NextToken": str(start + size)} if start + size < len(rows) else answer


def _start(token: Any) -> int:
    if token is None:
        return 0
    if not str(token).isdecimal():
        raise errors.invalid("Invalid NextToken")
    return int(token)


def _comparable(value: Any) -> tuple[int, Any]:
    """Return a key by which numbers, times and texts can stand in one list."""
    if isinstance(value, datetime):
        return 1, value
    number = _number(value)
    return (0, number) if number is not None else (2, str(value))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def values_at(record: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Yield what a record has at a property's name: ``HyperParameters.eta``, ``Metrics.loss``, ``Tags.team``, or a member's path."""
    kind, _, name = path.partition(".")
    if kind == "Tags":
        yield from (tag["Value"] for tag in record.get("Tags", ()) if tag["Key"] == name)
    elif kind == "Metrics":
        yield from (row["Value"] for row in record.get("FinalMetricDataList", ()) if row["MetricName"] == name)
    elif kind == "HyperParameters" and name:
        yield from ([record["HyperParameters"][name]] if name in record.get("HyperParameters", {}) else [])
    else:
        yield from _below(record, path.split("."))


def _below(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _below(each, parts)
    elif not parts:
        yield value
    elif isinstance(value, Mapping) and parts[0] in value:
        yield from _below(value[parts[0]], parts[1:])


def _fits(record: Mapping[str, Any], expression: Mapping[str, Any]) -> bool:
    verdicts = [
        *(_passes(record, each) for each in expression.get("Filters") or ()),
        *(_nested(record, each) for each in expression.get("NestedFilters") or ()),
        *(_fits(record, each) for each in expression.get("SubExpressions") or ()),
    ]
    return not verdicts or (any(verdicts) if expression.get("Operator") == "Or" else all(verdicts))


def _nested(record: Mapping[str, Any], nested: Mapping[str, Any]) -> bool:
    """Return whether one item of a list passes all the filters."""
    path = nested["NestedPropertyName"]
    items = list(_items(record, path.split(".")))
    inner = [{**each, "Name": each["Name"].removeprefix(f"{path}.")} for each in nested["Filters"]]
    return any(all(_passes(item, each) for each in inner) for item in items)


def _items(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    for part in parts:
        value = value.get(part) if isinstance(value, Mapping) else None
    yield from value if isinstance(value, list | tuple) else [] if value is None else [value]


def _passes(record: Mapping[str, Any], declared: Mapping[str, Any]) -> bool:
    found = list(values_at(record, declared["Name"]))
    kind, wanted = declared.get("Operator", "Equals"), declared.get("Value")
    if kind in ("Exists", "NotExists"):
        return bool(found) is bool(kind == "Exists")
    if wanted is None:
        raise errors.invalid(f"The filter on {declared['Name']} needs a Value.")
    if kind == "NotEquals":
        return not any(_equal(value, wanted) for value in found)
    return any(_compared(value, kind, wanted) for value in found)


def _compared(value: Any, kind: str, wanted: str) -> bool:
    if kind == "Equals":
        return _equal(value, wanted)
    if kind == "Contains":
        return wanted.casefold() in str(value).casefold()
    if kind == "In":
        return any(_equal(value, each.strip()) for each in wanted.split(","))
    if isinstance(value, datetime):
        return _COMPARISONS[kind](value, _moment(wanted))
    left, right = _number(value), _number(wanted)
    return left is not None and right is not None and _COMPARISONS[kind](left, right)


def _equal(value: Any, wanted: str) -> bool:
    if isinstance(value, datetime):
        return value == _moment(wanted)
    left, right = _number(value), _number(wanted)
    return left == right if left is not None and right is not None else str(value) == wanted


def _moment(text: str) -> datetime:
    try:
        return as_moment(text)
    except ValueError:
        raise errors.invalid(f"{text!r} is no time; write it in ISO 8601.") from None
