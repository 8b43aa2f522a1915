"""How numbers, parameters and counts are written in what is shown while a run goes on, and the console that shows it."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from cloudtune.store.records import Trial

STATE_STYLES = {
    "waiting": "dim", "running": "cyan", "paused": "dim", "stopping": "yellow", "interrupted": "yellow",
    "completed": "green", "pruned": "blue", "failed": "red", "cancelled": "magenta", "damaged": "red",
}  # fmt: skip


def console(*, stderr: bool = False) -> "Console":
    """Return a console of Rich, which is imported only here."""
    from rich.console import Console  # noqa: PLC0415

    class Own(Console):
        def on_broken_pipe(self) -> None:  # Rich would end the process, and the run with it
            self.quiet = True
            raise BrokenPipeError

    return Own(stderr=stderr, highlight=False, soft_wrap=False)


def number(value: float | None) -> str:
    """Return a number with 6 significant digits; "" for None."""
    return "" if value is None else f"{value:.6g}"


def scalar(value: object) -> str:
    """Return a parameter's value as text: strings unchanged, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def brief_parameters(trial: "Trial") -> str:
    """Return a trial's parameters on one line, with 4 significant digits, for a live display."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={scalar(value)}"
        for name, value in trial.parameters.items()
    )


def counts_text(counts: Mapping[str, int]) -> str:
    """Return the number of trials in each state on one line, in the order of `STATE_STYLES`."""
    return ", ".join(f"{counts[state]} {state}" for state in STATE_STYLES if counts.get(state))
