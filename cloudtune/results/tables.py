"""Trials and runs as tables: csv by the standard library, parquet and pandas where they are installed."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import ConfigError
from cloudtune.plugins.extras import install
from cloudtune.results.constraints import is_feasible, reason_of
from cloudtune.spec.constraint import Constraint
from cloudtune.store.records import Report, Trial

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, object]

_EXTRA = "tables"


def trial_rows(trials: Sequence[Trial], constraints: Sequence[Constraint] = ()) -> list[dict[str, object]]:
    """Return one flat row per trial, all with the same columns; ``params_NAME`` and ``metrics_NAME`` may be None.

    With constraints ``feasible`` says whether a trial completed and keeps them all, and ``reason`` which it does not keep.
    Where trials were charged, ``cost`` is a number in ``currency``, and ``machine_seconds`` the time of all machines. Where
    trials were run again, ``repeat_of`` is the number of the trial that a row repeats.
    Where some were a user's own, ``origin`` says which (`Trial.origin`).
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.parameters))
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    charged = any(trial.charges for trial in trials)
    repeated = any(trial.repeat_of is not None for trial in trials)
    own = any(trial.origin for trial in trials)
    return [
        {
            "number": trial.number,
            "state": trial.state.value,
            **({"repeat_of": trial.repeat_of} if repeated else {}),
            **{f"params_{name}": trial.parameters.get(name) for name in names},
            **{f"metrics_{name}": trial.metrics.get(name) for name in metrics},
            "attempt": trial.attempt,
            "started": trial.started,
            "ended": trial.ended,
            "duration": trial.duration,
            **(_charged(trial) if charged else {}),
            **({"origin": trial.origin} if own else {}),
            **({"feasible": is_feasible(constraints, trial)} if constraints else {}),
            "reason": reason_of(constraints, trial),
        }
        for trial in trials
    ]


def _charged(trial: Trial) -> dict[str, object]:
    currency = next((charge.currency for charge in trial.charges if charge.currency), "")
    seconds = sum(charge.seconds * charge.machines for charge in trial.charges)
    return {"machine_seconds": seconds, "cost": None if trial.cost is None else float(trial.cost), "currency": currency}


def report_rows(reports: Iterable[Report]) -> list[dict[str, object]]:
    """Return one flat row per report, all with the same columns: ``metrics_NAME`` is None if it was not reported."""
    listed = list(reports)
    metrics = list(dict.fromkeys(name for report in listed for name in report.metrics))
    return [
        {
            "number": report.number,
            "attempt": report.attempt,
            "step": report.step,
            "time": report.time,
            **{f"metrics_{name}": report.metrics.get(name) for name in metrics},
        }
        for report in listed
    ]


def to_pandas(rows: Sequence[Row]) -> "pd.DataFrame":
    """Return rows as a pandas table. Integer and boolean columns keep their type where values are missing.

    Raises:
        ConfigError: pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415  # optional
    except ImportError:
        raise ConfigError(f"tables need pandas: {install(_EXTRA)}") from None
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else [])}
    return pd.DataFrame({name: pd.Series(values, dtype=_dtype(values)) for name, values in columns.items()})


def _dtype(values: Sequence[object]) -> str | None:
    """Return the pandas dtype that keeps the values of a column unchanged; None for pandas' own choice."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        return "object"
    if None not in values:
        return None
    return {frozenset({int}): "Int64", frozenset({bool}): "boolean"}.get(frozenset(kinds))


def write_rows(rows: Sequence[Row], output: str) -> Path | None:
    """Write rows as ``csv`` or ``parquet`` to stdout, or to a file with such a suffix (also ``.json``).

    Returns:
        The file; None for stdout.

    Raises:
        ConfigError: the format is unknown, or what it needs is not installed.
    """
    kind = Path(output).suffix.removeprefix(".") or output
    writers = {"csv": csv_bytes, "parquet": parquet, "json": json_bytes}
    if kind not in writers:
        raise ConfigError(
            f"{output!r} is no format; use table, json, csv, parquet, or a file that ends in .json, .csv or .parquet"
        )
    data = writers[kind](rows)
    if output != kind:
        Path(output).write_bytes(data)
        return Path(output)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return None


def csv_bytes(rows: Sequence[Row]) -> bytes:
    """Return rows as the content of a csv file, with their names first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def json_bytes(rows: Sequence[Row]) -> bytes:
    """Return rows as the content of a JSON file."""
    return json.dumps([dict(row) for row in rows], indent=2).encode() + b"\n"


def parquet(rows: Sequence[Row]) -> bytes:
    """Return rows as the content of a parquet file; values of columns of mixed types are JSON texts.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # optional
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise ConfigError(f"parquet needs pyarrow: {install(_EXTRA)}") from None
    columns = {name: _one_type([row[name] for row in rows]) for name in (rows[0] if rows else [])}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _one_type(values: list[object]) -> list[object]:
    """Return a column as parquet can hold it: values of mixed types become JSON texts."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds == {int, float}:
        return values
    return [None if value is None else json.dumps(value) for value in values]
