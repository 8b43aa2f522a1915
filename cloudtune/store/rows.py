"""Convert rows of the store to records; raise `Damage`, with the place, for values that cloudtune did not write."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any

from cloudtune.store.records import DRIVER_CHARGES, Charge, Report, RunRecord, RunState, Trial, TrialState

RUN_COLUMNS = tuple(column.name for column in fields(RunRecord))
TRIAL_COLUMNS = tuple(column.name for column in fields(Trial))
REPORT_COLUMNS = ("number", "attempt", "step", "time", "metrics", "moment")

_encoded = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

_LARGEST = 2**63 - 1
"""The largest whole number that SQLite keeps."""

_JSON_COLUMNS = ("native", "emulators")
_TEXTS = ("id", "name", "provider", "profile", "job", "plan", "reason")
_MOMENTS = ("started", "ended", "seen")


class Damage(ValueError):  # internal: `RunStore` turns it into `DamagedRun`
    """A value that cloudtune did not write."""


def is_folder(run_id: str) -> bool:
    """Return whether a run's id is the name of a folder below the others', or a path of several, as an attached job's may be."""
    return not {"", ".", ".."} & set(run_id.split("/")) and "\0" not in run_id


def run_record(row: tuple[Any, ...]) -> RunRecord:
    """Return the record of a row with `RUN_COLUMNS`.

    Raises:
        Damage: says which column is damaged.
    """
    values = dict(zip(RUN_COLUMNS, row, strict=True))
    for name in _TEXTS:
        _check(name, values[name], str)
    if not is_folder(values["id"]):
        raise Damage("its id is no name of a folder")
    for name in ("created", "elapsed"):
        _check(name, values[name], float, int)
    for name in _MOMENTS:
        _check(name, values[name], float, int, type(None))
    for name in ("job", "plan"):
        _mapping(name, values[name])
    values |= {name: _mapping(name, values[name]) for name in _JSON_COLUMNS}
    values["state"] = _state(RunState, values["state"])
    return RunRecord(**values)


def trial_of(row: tuple[Any, ...]) -> Trial:
    """Return the trial of a row with `TRIAL_COLUMNS`.

    Raises:
        Damage: says which trial is damaged, and where.
    """
    number, parameters, state, metrics, reason, attempt, started, ended, place, charges, origin, *moments = row
    _check("number", number, int)
    where = f"trial {number}"
    _check(f"{where}: attempt", attempt, int)
    for name, value in (("reason", reason), ("place", place), ("origin", origin)):
        _check(f"{where}: {name}", value, str)
    for name, value in (("started", started), ("ended", ended)):
        _check(f"{where}: {name}", value, float, int, type(None))
    for name, value in zip(("asked", "told", "repeat_of"), moments, strict=True):
        _check(f"{where}: {name}", value, int, type(None))
    return Trial(
        number,
        scalars(f"{where}: parameters", parameters),
        _state(TrialState, state),
        _numbers(f"{where}: metrics", metrics),
        reason,
        attempt,
        started,
        ended,
        place,
        charges_of(f"{where}: charges", charges),
        origin,
        *moments,
    )


def charges_text(charges: Sequence[Charge]) -> str:
    """Return the value of the column of charges, amounts as text: JSON has no decimal numbers."""
    rows = [
        (each.attempt, each.machine, each.machines, each.seconds, _text(each.amount), each.currency, each.kept)
        for each in charges
    ]
    return dumps(rows)


def driver_charges(record: RunRecord) -> tuple[Charge, ...]:
    """Return what the machines of a run's drivers cost that were jobs of their own, and have ended.

    Raises:
        Damage: they are no list of charges.
    """
    return charges_of("the charges of its driver", record.native.get(DRIVER_CHARGES, "[]"))


def _text(amount: Decimal | None) -> str:
    return "" if amount is None else str(amount)


def charges_of(place: str, text: object) -> tuple[Charge, ...]:
    """Return the charges that `charges_text` wrote.

    Args:
        place: what holds the text, for the error.
        text: the value of the column.

    Raises:
        Damage: it is no list of charges.
    """
    if text == "[]":
        return ()
    _check(place, text, str)
    try:
        return tuple(_charge(place, *row) for row in json.loads(str(text)))
    except (ValueError, TypeError, RecursionError):
        raise Damage(f"{place} are no list of charges") from None


def _charge(  # noqa: PLR0917  # in the order of the fields
    place: str, attempt: int, machine: str, machines: int, seconds: float, amount: str, currency: str, kept: float = 0.0
) -> Charge:
    for value, kind in ((attempt, int), (machine, str), (machines, int), (amount, str), (currency, str)):
        _check(place, value, kind)
    for each in (seconds, kept):
        _check(place, each, float, int)
    try:
        return Charge(attempt, machine, machines, seconds, Decimal(amount) if amount else None, currency, kept)
    except InvalidOperation:
        raise Damage(f"{place} have the amount {amount!r}") from None


def dumps(data: object) -> str:
    """Return data as JSON, with ``?`` for halves of characters (lone surrogates), which UTF-8 does not have."""
    return _encoded(data).encode("utf-8", "replace").decode()


def report_row(run_id: str, report: Report) -> tuple[Any, ...]:
    """Return the row of a report; a program may report any step, and at any time."""
    step = max(-_LARGEST, min(report.step, _LARGEST))
    moment = report.time if math.isfinite(report.time) else time.time()
    return run_id, report.number, report.attempt, step, moment, dumps(dict(report.metrics)), report.moment


def report_of(row: tuple[Any, ...]) -> Report:
    """Return the report of a row with all columns of reports.

    Raises:
        Damage: says what is damaged.
    """
    number, attempt, step, when, metrics, moment = row
    for name, value in (("number", number), ("attempt", attempt), ("step", step), ("moment", moment)):
        _check(f"a report: {name}", value, int)
    _check("a report: time", when, float, int)
    return Report(number, attempt, step, when, _numbers(f"a report of trial {number}", metrics), moment)


def event_of(row: tuple[Any, ...]) -> tuple[float, int | None, str]:
    """Return the event of a row: time, trial, message.

    Raises:
        Damage: says what is damaged.
    """
    when, number, message = row
    _check("an event: time", when, float, int)
    _check("an event: trial", number, int, type(None))
    _check("an event: message", message, str)
    return when, number, message


def _check(place: str, value: object, *types: type) -> None:
    if type(value) not in types:
        raise Damage(f"{place} is {type(value).__name__}")


def _state(kind: Any, value: object) -> Any:  # a StrEnum
    try:
        return kind(value)
    except ValueError:
        raise Damage(f"there is no state {value!r}") from None


def _mapping(place: str, text: object) -> Mapping[str, Any]:
    _check(place, text, str)
    try:
        found = json.loads(str(text))
    except (ValueError, RecursionError):
        raise Damage(f"{place} is no JSON") from None
    _check(place, found, dict)
    mapping: Mapping[str, Any] = found
    return mapping


def scalars(place: str, text: object) -> dict[str, Any]:
    """Return the values of parameters that a text holds as JSON.

    Raises:
        Damage: it holds something else; names the place.
    """
    found = dict(_mapping(place, text))
    for name, value in found.items():
        _check(f"{place}.{name}", value, str, int, float, bool, type(None))
    return found


def _numbers(place: str, text: object) -> dict[str, float]:
    found = dict(_mapping(place, text))
    for name, value in found.items():
        _check(f"{place}.{name}", value, int, float)
    return found
