"""The display of a run's progress: live on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from cloudtune.driver.follower import dropped
from cloudtune.looking.words import brief_parameters, console, counts_text, number
from cloudtune.results.constraints import why_infeasible
from cloudtune.results.progress import Progress
from cloudtune.spec.units import brief_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from cloudtune.results.progress import Watcher
    from cloudtune.run import Run
    from cloudtune.spec.constraint import Constraint
    from cloudtune.spec.objective import Objective
    from cloudtune.store.records import Trial

_SHOWN_TRIALS = 6
_SHOWN_MESSAGES = 5
_LINE_INTERVAL = 1.0
_NOTEBOOK_INTERVAL = 0.5
_ENDED = ("completed", "pruned", "failed", "cancelled")


class Display(Protocol):
    """A context manager that shows progress, called with each snapshot."""

    def __call__(self, progress: Progress) -> None:
        """Show a snapshot of the progress."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display(
    title: str,
    objectives: "Sequence[Objective]",
    constraints: "Sequence[Constraint]" = (),
    *,
    quiet: bool,
    note: Callable[[str], None],
) -> Display:
    """Return the display for stderr: live on a terminal, else lines. If it fails, it is dropped and the run goes on.

    Args:
        title: the first line.
        objectives: the job's objectives.
        constraints: the job's constraints.
        quiet: whether to show nothing.
        note: records that the display was dropped; called at most once.
    """
    if quiet:
        return _Quiet()
    return _Droppable((_Live if sys.stderr.isatty() else _Lines)(title, objectives, constraints), note)


@contextlib.contextmanager
def display_for_python(run: "Run", *, quiet: bool) -> "Iterator[Watcher | None]":
    """Show a run that Python code waits for: live on a terminal, as a view that updates in a notebook, elsewhere not at all.

    Args:
        run: the run.
        quiet: whether to show nothing.

    Yields:
        What to call with its progress; None to show nothing.
    """
    notebook = _in_notebook()
    if quiet or not (notebook or sys.stderr.isatty()):
        yield None
        return
    job, title = run.job, f"{run.job.name} on {run.record.where}: run {run.id}"
    kind = _Notebook if notebook else _Live
    with _Droppable(kind(title, job.objective, job.constraints), run.note) as shown:
        yield shown


def _in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook; loads nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class _Droppable:
    """A display that is dropped when it raises, e.g. since its terminal is closed or the disk is full."""

    def __init__(self, shown: Display, note: Callable[[str], None]) -> None:
        self._shown: Display | None = shown
        self._note = note

    def __enter__(self) -> Self:
        self._try(lambda shown: shown.__enter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._try(lambda shown: shown.__exit__(kind, error, trace))

    def __call__(self, progress: Progress) -> None:
        self._try(lambda shown: shown(progress))

    def _try(self, show: Callable[[Display], object]) -> None:
        if self._shown is None:
            return
        try:
            show(self._shown)
        except Exception as error:  # noqa: BLE001  # the run goes on whatever fails in its display
            self._shown = None
            self._note(dropped("its display", error))


class _Quiet:
    def __call__(self, progress: Progress) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _done(progress: Progress) -> int:
    return sum(progress.counts.get(state, 0) for state in _ENDED)


def _value(progress: Progress, objectives: "Sequence[Objective]") -> str:
    metric = objectives[0].metric
    return "" if progress.best is None else f"{metric} = {number(progress.best.metrics.get(metric))}"


def _nearest(trial: "Trial", constraints: "Sequence[Constraint]") -> str:
    return f"{why_infeasible(constraints, trial.metrics)}  (trial {trial.number}: {brief_parameters(trial)})"


class _Lines:
    """A display of lines: for every new best trial, every message, and at most once a second for the counts."""

    def __init__(self, title: str, objectives: "Sequence[Objective]", constraints: "Sequence[Constraint]") -> None:
        self._title, self._objectives, self._constraints = title, objectives, constraints
        self._nearest = -1
        self._best = -1
        self._done = 0
        self._next = 0.0

    def __enter__(self) -> Self:
        click.echo(self._title, err=True)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, progress: Progress) -> None:
        for line in progress.message.splitlines():
            click.echo(f"  {line}", err=True)
        if progress.best is not None and progress.best.number != self._best:
            self._best = progress.best.number
            click.echo(
                f"  best so far: {_value(progress, self._objectives)}  (trial {self._best}: {brief_parameters(progress.best)})",
                err=True,
            )
        if progress.nearest is not None and progress.nearest.number != self._nearest:
            self._nearest = progress.nearest.number
            click.echo(f"  nothing feasible so far; nearest: {_nearest(progress.nearest, self._constraints)}", err=True)
        if _done(progress) != self._done and time.monotonic() >= self._next:
            self._done, self._next = _done(progress), time.monotonic() + _LINE_INTERVAL
            total = f"/{progress.total}" if progress.total else ""
            eta = f", {brief_duration(progress.eta)} to go" if progress.eta else ""
            cost = f", {progress.cost}" if progress.cost else ""
            click.echo(f"  {self._done}{total} trials: {counts_text(progress.counts)}{eta}{cost}", err=True)


class _Live:
    """A live display on a terminal: progress bar, counts, best trial, running trials."""

    def __init__(self, title: str, objectives: "Sequence[Objective]", constraints: "Sequence[Constraint]") -> None:
        from rich.live import Live  # noqa: PLC0415  # loaded only on a terminal

        self._title, self._objectives, self._constraints = title, objectives, constraints
        self._messages: list[str] = []
        # No refresh by a thread of Rich, so that errors are raised where `_Droppable` catches them.
        self._live = Live(console=console(stderr=True), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        from rich.markup import escape  # noqa: PLC0415  # Rich's own, not of HTML

        self._live.console.print(f"[bold]{escape(self._title)}[/]")
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, progress: Progress) -> None:
        from rich.markup import escape  # noqa: PLC0415

        if progress.message:
            self._live.console.print(f"[dim]{escape(progress.message)}[/]")
        self._live.update(self._picture(progress), refresh=True)

    def _picture(self, progress: Progress) -> "RenderableType":
        from rich.console import Group  # noqa: PLC0415
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        done = _done(progress)
        head = Table.grid(padding=(0, 2))
        total = f"/{progress.total}" if progress.total else ""
        times = f"{brief_duration(progress.elapsed)}" + (
            f", {brief_duration(progress.eta)} to go" if progress.eta is not None else ""
        )
        times += f", {progress.cost}" if progress.cost else ""
        head.add_row(
            ProgressBar(total=progress.total, completed=done, width=28),
            f"{done}{total}",
            Text(times, style="dim"),
        )
        rows: list[RenderableType] = [
            head,
            Text(counts_text(progress.counts), style="dim", overflow="ellipsis", no_wrap=True),
        ]
        if progress.best is not None:
            best = Text("best  ", style="bold green", overflow="ellipsis", no_wrap=True)
            best.append(_value(progress, self._objectives), style="bold")
            best.append(f"   trial {progress.best.number}: {brief_parameters(progress.best)}", style="default")
            rows.append(best)
        elif progress.nearest is not None:
            rows.append(
                Text(
                    f"nothing feasible; nearest  {_nearest(progress.nearest, self._constraints)}",
                    style="yellow",
                    no_wrap=True,
                )
            )
        for trial in progress.running[:_SHOWN_TRIALS]:
            metric = trial.metrics.get(self._objectives[0].metric)
            value = f"{self._objectives[0].metric} = {number(metric)}  " if metric is not None else ""
            since = brief_duration(time.time() - trial.started) if trial.started else ""
            line = Text(f"  {trial.number:>4}  ", style="cyan", overflow="ellipsis", no_wrap=True)
            line.append(f"{since:>7}  {value}{brief_parameters(trial)}", style="dim")
            rows.append(line)
        if len(progress.running) > _SHOWN_TRIALS:
            rows.append(Text(f"        and {len(progress.running) - _SHOWN_TRIALS} more running", style="dim"))
        return Group(*rows)


class _Notebook:
    """A view in a notebook, which is written anew at most twice a second, and when the run has ended."""

    def __init__(self, title: str, objectives: "Sequence[Objective]", constraints: "Sequence[Constraint]") -> None:
        self._title, self._objectives, self._constraints = title, objectives, constraints
        self._messages: list[str] = []
        self._last: Progress | None = None
        self._next = 0.0

    def __enter__(self) -> Self:
        from IPython.display import HTML, display  # noqa: PLC0415  # it is loaded where there is a notebook

        self._html = HTML
        self._view = display(HTML(escape(self._title)), display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._last is not None:
            self._write(self._last)

    def __call__(self, progress: Progress) -> None:
        self._last = progress
        self._messages += progress.message.splitlines()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _NOTEBOOK_INTERVAL
            self._write(progress)

    def _write(self, progress: Progress) -> None:
        total = f"/{progress.total}" if progress.total else ""
        to_go = f", {brief_duration(progress.eta)} to go" if progress.eta is not None else ""
        lines = [f"<b>{escape(self._title)}</b>"]
        lines.append(
            f"<progress max='{progress.total or 1}' value='{_done(progress)}'></progress> {_done(progress)}{total} trials"
        )
        lines.append(escape(f"{counts_text(progress.counts)}; {brief_duration(progress.elapsed)}{to_go}"))
        if progress.best is not None:
            found = f"trial {progress.best.number}: {brief_parameters(progress.best)}"
            lines.append(f"best <b>{escape(_value(progress, self._objectives))}</b> {escape(found)}")
        elif progress.nearest is not None:
            lines.append(escape(f"nothing feasible; nearest {_nearest(progress.nearest, self._constraints)}"))
        lines += [f"<small>{escape(message)}</small>" for message in self._messages[-_SHOWN_MESSAGES:]]
        self._view.update(self._html("<br>".join(lines)))
