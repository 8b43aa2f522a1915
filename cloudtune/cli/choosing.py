"""Validation and shell completion of arguments and options with a fixed set of words."""

from collections.abc import Callable, Iterable

import click

from cloudtune.errors import CloudtuneError, suggest

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
