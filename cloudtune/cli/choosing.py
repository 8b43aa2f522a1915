"""Words that an argument or option knows: refused with the nearest one where they are wrong, completed by the shell."""

from collections.abc import Callable, Iterable

import click

from cloudtune.errors import suggest

Completer = Callable[[click.Context, click.Parameter, str], list[str]]

ORDERS = ("number", "duration", "state")
"""What trials are sorted by, beside their metrics."""


def trial_states() -> list[str]:
    """Return the names of the states that a trial can be in."""
    from cloudtune.store.records import TrialState  # noqa: PLC0415  # help and completion of others need it not

    return [state.value for state in TrialState]


def emulated() -> list[str]:
    """Return the installed providers that have an emulator, by the entry points alone: no SDK is imported."""
    from importlib.util import find_spec  # noqa: PLC0415

    from cloudtune.plugins.entry_points import providers  # noqa: PLC0415

    packages = {name: point.module.partition(".")[0] for name, point in providers().items()}
    return [name for name, package in packages.items() if find_spec(f"{package}.emulator") is not None]


def known_states(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Return states of trials as they are: a callback of click's.

    Raises:
        click.BadParameter: there is no such state; says which there are and the nearest.
    """
    known = trial_states()
    for state in value:
        if state not in known:
            raise click.BadParameter(f"there is no state {state!r}; {suggest(state, known)}", ctx, param)
    return value


def completing(words: Callable[[], Iterable[str]]) -> Completer:
    """Return a completion of click's that offers the words which begin like what was typed."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
        return [word for word in words() if word.startswith(incomplete)]

    return complete


def complete_orders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return what the trials of the run that was named can be sorted by."""
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.errors import CloudtuneError  # noqa: PLC0415

    try:
        metrics = [each.metric for each in api.attach(ctx.params.get("run_id") or "latest").job.objective]
    except CloudtuneError:  # there is no run yet
        metrics = []
    return [word for word in dict.fromkeys([*ORDERS, *metrics]) if word.startswith(incomplete)]
