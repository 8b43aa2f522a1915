"""Validation and shell completion of arguments and options with a fixed set of words, and the orders of trials that they name."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from cloudtune.errors import CloudtuneError, suggest

if TYPE_CHECKING:
    from cloudtune.run import Run
    from cloudtune.store.records import Trial

Completer = Callable[[click.Context, click.Parameter, str], list[str]]

ORDERS = ("number", "duration", "cost", "state")
"""Orders of trials, beside their metrics."""


def trial_states() -> list[str]:
    """Return the names of the states that a trial can be in."""
    from cloudtune.store.records import TrialState  # noqa: PLC0415  # not for other commands

    return [state.value for state in TrialState]


def known_states(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Return the states of trials if all are known; a click callback.

    Raises:
        click.BadParameter: there is no such state.
    """
    known = trial_states()
    for state in value:
        if state not in known:
            raise click.BadParameter(f"there is no state {state!r}; {suggest(state, known)}", ctx, param)
    return value


def completing(words: Callable[[], Iterable[str]]) -> Completer:
    """Return a click completer that offers the words with the typed prefix."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
        return [word for word in words() if word.startswith(incomplete)]

    return complete


def complete_orders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the orders and metrics by which the trials of the named run can be sorted."""
    from cloudtune import api  # noqa: PLC0415

    try:
        metrics = [each.metric for each in api.attach(ctx.params.get("run_id") or "latest").job.objective]
    except CloudtuneError:  # there is no run yet
        metrics = []
    return [word for word in dict.fromkeys([*ORDERS, *metrics]) if word.startswith(incomplete)]


def in_order(made: "Run", found: "list[Trial]", sort: str) -> "list[Trial]":
    """Return trials of a run in an order of `ORDERS` but number, or by a metric, the best first.

    Raises:
        click.UsageError: no trial has such a metric.
    """
    if sort == "duration":
        return sorted(found, key=lambda trial: -(trial.duration or 0))
    if sort == "state":
        return sorted(found, key=lambda trial: trial.state.value)
    objectives = [each.metric for each in made.job.objective]
    if sort == "cost" and not any("cost" in trial.metrics for trial in found):
        return sorted(found, key=lambda trial: -(trial.cost or 0))
    known = list(dict.fromkeys([*ORDERS, *objectives, *sorted({m for trial in made.trials() for m in trial.metrics})]))
    if sort not in known:
        raise click.UsageError(f"no trial has a metric {sort!r}; {suggest(sort, known)}")
    upward = any(each.metric == sort and each.goal == "maximize" for each in made.job.objective)
    return sorted(
        found,
        key=lambda trial: (sort not in trial.metrics, (-1 if upward else 1) * trial.metrics.get(sort, 0.0)),
    )
