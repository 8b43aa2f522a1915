"""How the commands print: tables for people, JSON for machines, words for both."""

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudtune.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from cloudtune.spec.job import Objective
    from cloudtune.store.records import RunRecord, Trial

STATE_STYLES = {
    "waiting": "dim", "running": "cyan", "stopping": "yellow", "interrupted": "yellow",
    "completed": "green", "pruned": "blue", "failed": "red", "cancelled": "magenta", "damaged": "red",
}  # fmt: skip


def console(*, stderr: bool = False) -> "Console":
    """The terminal; loaded only where a table or progress is drawn."""
    from rich.console import Console  # noqa: PLC0415

    class Own(Console):
        def on_broken_pipe(self) -> None:  # Rich would end the process, and with it the run that it shows
            self.quiet = True
            raise BrokenPipeError

    return Own(stderr=stderr, highlight=False, soft_wrap=False)


_FORCE = "cloudtune.force"


def _keep_force(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001  # as click calls it
    ctx.meta[_FORCE] = value


force_option = click.option(
    "--force", is_flag=True, is_eager=True, expose_value=False, callback=_keep_force, help="Replace what is there."
)  # before the options that look at it


def new_path(ctx: click.Context, param: click.Parameter, value: str | Path | None) -> str | Path | None:  # noqa: ARG001  # as click calls it
    """Make sure that a file or folder to be written is not there yet: the callback of an option beside `force_option`.

    Raises:
        ConfigError: it is, and nobody said that it may be replaced; an empty folder is nothing.
    """
    path = Path(value) if value is not None else None
    a_format = isinstance(value, str) and path is not None and not path.suffix  # such as csv, which is printed
    if (
        path is not None
        and not a_format
        and not ctx.meta.get(_FORCE)
        and os.path.lexists(path)
        and not _is_no_loss(path)
    ):
        raise ConfigError(f"{path} is there already; name another one, or replace it with --force")
    return value


def new_or_own_report(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """The same for a report, but that a page which cloudtune wrote may be replaced: a command may be run again."""
    if value is None:
        return None
    from cloudtune.report.page import is_report  # noqa: PLC0415  # most commands write no report

    if not is_report(value):
        new_path(ctx, param, value)
    return value


def _is_no_loss(path: Path) -> bool:
    """Whether a path is an empty folder, or a device such as /dev/null."""
    return not any(path.iterdir()) if path.is_dir() else path.exists() and not path.is_file()


def print_json(data: object) -> None:
    """Prints data as JSON; what is not finite becomes null."""
    click.echo(json.dumps(_finite(data), indent=2, ensure_ascii=False))


def _finite(data: Any) -> Any:  # plain data
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(item) for item in data]
    return data


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    styles: bool = True,
) -> None:
    """Prints a table; a column of states is coloured. Into a pipe it is printed as wide as it needs.

    A terminal that is too narrow for its columns gets each row as lines, one a cell: Rich would leave columns out.
    """
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    cells = [[str(value) for value in row] for row in rows]
    out = console()
    if not sys.stdout.isatty():
        out.width = sum(max(map(cell_len, column)) + 2 for column in zip(columns, *cells, strict=True))
    elif cells and _least_width(columns, cells) > out.width:
        click.echo("\n\n".join(_as_lines(columns, row) for row in cells))
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=STATE_STYLES.get(cell, "") if styles else "") for cell in row))
    out.print(table)


_READABLE = 5
"""Characters of a cell that a line should hold at least before it is folded."""


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return how many characters a table needs on a line so that all columns can be read."""
    widest = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return sum(min(width, _READABLE) + 2 for width in widest)


def _as_lines(columns: Sequence[str], row: Sequence[str]) -> str:
    width = max(map(len, columns))
    return "\n".join(f"{column:<{width}}  {cell}" for column, cell in zip(columns, row, strict=True) if cell)


def number(value: float | None) -> str:
    """A number in few digits."""
    return "" if value is None else f"{value:.6g}"


def exact(value: float | None) -> str:
    """A number in as many digits as it has."""
    return "" if value is None else repr(value).removesuffix(".0")


def cell(value: float | None) -> str:
    """A number of a table: in few digits on a terminal, in all into a pipe, where a program may read it."""
    return number(value) if sys.stdout.isatty() else exact(value)


def scalar(value: object) -> str:
    """A parameter's value: JSON's words for booleans and null, texts as they are."""
    return value if isinstance(value, str) else json.dumps(value)


def duration(seconds: float | None) -> str:
    """A time span as people say it: 1.2s, 3m 20s, 2h 05m."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def moment(seconds: float | None) -> str:
    """A moment in the machine's own time zone."""
    return "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def parameters(trial: "Trial") -> str:
    """A trial's parameters on one line."""
    return " ".join(f"{name}={scalar(value)}" for name, value in trial.parameters.items())


def brief_parameters(trial: "Trial") -> str:
    """A trial's parameters on one line, numbers with 4 significant digits: for what is looked at while it changes."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={scalar(value)}"
        for name, value in trial.parameters.items()
    )


def counts_text(counts: Mapping[str, int]) -> str:
    """Counts by state on one line, the frequent words first."""
    return ", ".join(f"{counts[state]} {state}" for state in STATE_STYLES if counts.get(state))


def trial_data(trial: "Trial", record: "RunRecord") -> dict[str, Any]:
    """A trial of a run as plain data."""
    part = trial.place.partition(":")[0]  # the profile, of several together
    return {
        "number": trial.number, "state": trial.state.value, "parameters": dict(trial.parameters), "metrics": dict(trial.metrics),
        "reason": trial.reason, "attempt": trial.attempt, "started": trial.started, "ended": trial.ended,
        "duration": trial.duration, "place": trial.place,
        "emulated": record.provider in record.emulators or part in record.emulators,
    }  # fmt: skip


def seen_text(record: "RunRecord", trouble: str) -> str:
    """That a run could not be asked for, and when it was seen last."""
    if record.seen is None:
        return f"not seen yet, {trouble}"
    same_day = moment(record.seen)[:10] == moment(time.time())[:10]
    return f"last seen {moment(record.seen)[11:16] if same_day else moment(record.seen)[:16]}, {trouble}"


def run_data(record: "RunRecord", trouble: str = "") -> dict[str, Any]:
    """A run as plain data.

    Args:
        record: of the run.
        trouble: why its service could not be asked; "" where it was, or needed not.
    """
    return {
        "id": record.id, "name": record.name, "provider": record.provider, "profile": record.profile,
        "emulated": record.emulated, "emulators": list(record.emulators), "state": record.state.value,
        "seen": record.seen, "unreachable": trouble or None,
        "reason": record.reason, "created": record.created, "started": record.started, "ended": record.ended, "elapsed": record.elapsed,
    }  # fmt: skip


def best_lines(trial: "Trial", objectives: "Sequence[Objective]") -> list[str]:
    """The best trial as lines: its objectives, then its parameters, aligned."""
    values = ", ".join(f"{each.metric} = {exact(trial.metrics.get(each.metric))}" for each in objectives)
    width = max((len(name) for name in trial.parameters), default=0)
    return [
        f"trial {trial.number}: {values}",
        *(f"  {name:<{width}}  {scalar(value)}" for name, value in trial.parameters.items()),
    ]
