"""Printing of tables and JSON, and formatting of values for the commands."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloudtune.costs.views import trial_cost
from cloudtune.errors import ConfigError
from cloudtune.looking.data import moment as moment  # noqa: PLC0414  # printed with the others here
from cloudtune.looking.words import STATE_STYLES, console, number, scalar
from cloudtune.results.json_data import json_data

if TYPE_CHECKING:
    from cloudtune.results.confirmation import Confirmed
    from cloudtune.spec.objective import Objective
    from cloudtune.store.records import Trial

F = TypeVar("F", bound="Callable[..., Any]")

_FORCE = "cloudtune.force"


def _keep_force(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001  # click's signature
    ctx.meta[_FORCE] = value


force_option = click.option(
    "--force", is_flag=True, is_eager=True, expose_value=False, callback=_keep_force, help="Replace what is there."
)  # eager: evaluated before the options that depend on it


def new_path(ctx: click.Context, param: click.Parameter, value: str | Path | None) -> str | Path | None:  # noqa: ARG001  # click's signature
    """Return the path if it does not exist, is an empty folder, or --force is given; a click callback.

    Raises:
        ConfigError: the path exists, and --force is not given.
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
    """Return the path if it may be written as by `new_path`, or is a report of cloudtune; a click callback."""
    if value is None:
        return None
    from cloudtune.report.page import is_report  # noqa: PLC0415  # most commands write no report

    if not is_report(value):
        new_path(ctx, param, value)
    return value


def _is_no_loss(path: Path) -> bool:
    """Return whether writing to an existing path loses nothing: an empty folder, or a device such as /dev/null."""
    return not any(path.iterdir()) if path.is_dir() else path.exists() and not path.is_file()


def output_file_option(text: str, *, printed: bool = True) -> "Callable[[F], F]":
    """Return the option ``--output`` of a command that writes a file.

    Args:
        text: its help.
        printed: whether the command prints it where no file is named, which ``-`` then says as well.
    """

    def new_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
        if value == Path("-"):
            if not printed:
                raise click.UsageError("--output takes a file, not -")
            return None
        new_path(ctx, param, value)
        return value

    file = click.Path(path_type=Path, dir_okay=False)
    return click.option("--output", "-o", callback=new_file, type=file, help=text)


def print_json(data: object) -> None:
    """Print data as JSON; numbers that are not finite become null."""
    click.echo(json.dumps(json_data(data), indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    styles: bool = True,
) -> None:
    """Print a table, with states coloured; into a pipe or a file without a limit on its width.

    On a terminal that is too narrow, print each row as lines, one per cell, since Rich would leave columns out.

    Args:
        columns: the titles.
        rows: the cells.
        right: the columns to align to the right.
        styles: whether to colour states.
    """
    cells = [[str(value) for value in row] for row in rows]
    out = console()
    if not sys.stdout.isatty():
        widths = _widths(columns, cells)
        if not out.is_terminal and all(cell.isprintable() for row in (columns, *cells) for cell in row):
            click.echo("".join(_plain_lines(columns, cells, widths, right)), nl=False)
            return
        out.width = sum(widths) + 2 * len(widths)
    elif cells and _least_width(columns, cells) > out.width:
        click.echo("\n\n".join(_as_lines(columns, row) for row in cells))
        return
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=STATE_STYLES.get(cell, "") if styles else "") for cell in row))
    out.print(table)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column in characters of a terminal, some of which are two wide."""
    return [max(map(_width, cells)) for cells in zip(columns, *rows, strict=True)]


def _width(cell: str) -> int:
    if cell.isascii():
        return len(cell)
    from rich.cells import cell_len  # noqa: PLC0415

    return cell_len(cell)


def _plain_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of a table as Rich prints it without colours, in a hundredth of its time."""
    rights = [column in right for column in columns]
    for row in (columns, *rows):
        padded = []
        for cell, width, is_right in zip(row, widths, rights, strict=True):
            said = cell.rstrip()
            space = " " * (width - _width(said))
            padded.append(space + said if is_right else said + space)
        yield "  ".join(padded) + "\n"


_READABLE = 5
"""The least characters of a cell on a line; longer cells are folded."""


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the least width in characters at which all columns of a table can be read."""
    widest = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return sum(min(width, _READABLE) + 2 for width in widest)


def _as_lines(columns: Sequence[str], row: Sequence[str]) -> str:
    width = max(map(len, columns))
    return "\n".join(f"{column:<{width}}  {cell}" for column, cell in zip(columns, row, strict=True) if cell)


def exact(value: float | None) -> str:
    """Return a number with all its digits; "" for None."""
    return "" if value is None else repr(value).removesuffix(".0")


def cell(value: float | None) -> str:
    """Return a number for a table: 6 significant digits on a terminal, all digits into a pipe, for programs."""
    return number(value) if sys.stdout.isatty() else exact(value)


def parameters(trial: "Trial") -> str:
    """Return a trial's parameters on one line."""
    return " ".join(f"{name}={scalar(value)}" for name, value in trial.parameters.items())


def best_lines(
    trial: "Trial", objectives: "Sequence[Objective]", repeated: "Mapping[int, Confirmed] | None" = None
) -> list[str]:
    """Return the best trial as lines: its objectives and what it cost, then its parameters, aligned.

    Args:
        trial: the trial.
        objectives: of the job.
        repeated: what the repetitions of the run's candidates say.
    """
    known = (repeated or {}).get(trial.number)
    if known is None:
        values = ", ".join(f"{each.metric} = {exact(trial.metrics.get(each.metric))}" for each in objectives)
    else:
        from cloudtune.results.confirmation import said  # noqa: PLC0415  # few runs are confirmed

        values = ", ".join(f"mean {each.metric} = {said(known, each.metric)}" for each in objectives)
        values += f"; at first {', '.join(exact(trial.metrics.get(each.metric)) for each in objectives)}"
    cost = trial_cost(trial)
    width = max((len(name) for name in trial.parameters), default=0)
    own = f" ({trial.origin})" if trial.origin else ""
    return [
        f"trial {trial.number}{own}: {values}{f' ({cost})' if cost else ''}",
        *(f"  {name:<{width}}  {scalar(value)}" for name, value in trial.parameters.items()),
    ]
