"""Trials and runs as tables: csv by the standard library, parquet and pandas where they are installed."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import ConfigError
from cloudtune.states import Trial

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, object]

_EXTRA = "pip install 'cloudtune[tables]'"


def trial_rows(trials: Sequence[Trial]) -> list[dict[str, object]]:
    """One flat row a trial, all with the same columns: ``params_NAME`` and ``metrics_NAME`` are None where absent."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.parameters))
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    return [
        {
            "number": trial.number,
            "state": trial.state.value,
            **{f"params_{name}": trial.parameters.get(name) for name in names},
            **{f"metrics_{name}": trial.metrics.get(name) for name in metrics},
            "attempt": trial.attempt,
            "started": trial.started,
            "ended": trial.ended,
            "duration": trial.duration,
            "reason": trial.reason,
        }
        for trial in trials
    ]


def to_pandas(trials: Sequence[Trial]) -> "pd.DataFrame":
    """The trials as a table; see `trial_rows`.

    Raises:
        ConfigError: pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415  # optional
    except ImportError:
        raise ConfigError(f"tables need pandas: {_EXTRA}") from None
    return pd.DataFrame(trial_rows(trials))


def write_rows(rows: Sequence[Row], output: str) -> Path | None:
    """Writes rows as ``csv`` or ``parquet`` to stdout, or to a file with such a suffix (also ``.json``).

    Returns:
        The file; None for stdout.

    Raises:
        ConfigError: the format is unknown, or what it needs is not installed.
    """
    kind = Path(output).suffix.removeprefix(".") or output
    writers = {"csv": _csv, "parquet": _parquet, "json": _json}
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


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _json(rows: Sequence[Row]) -> bytes:
    return json.dumps([dict(row) for row in rows], indent=2).encode() + b"\n"


def _parquet(rows: Sequence[Row]) -> bytes:
    try:
        import pyarrow as pa  # noqa: PLC0415  # optional
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise ConfigError(f"parquet needs pyarrow: {_EXTRA}") from None
    columns = {name: _one_type([row[name] for row in rows]) for name in (rows[0] if rows else [])}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _one_type(values: list[object]) -> list[object]:
    """A column as parquet can hold it: values of mixed types become JSON texts."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds == {int, float}:
        return values
    return [None if value is None else json.dumps(value) for value in values]
