"""The warning that most of a run's budget is spent: an event of the run, by which others are told (`cloudtune.notifying`)."""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from cloudtune.spec.job import TuningJob
from cloudtune.spec.money import format_money

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore

SHARE = Decimal("0.8")
"""The part of ``limits.cost`` that a run is warned at."""

NEARLY = "80 % of the budget is spent:"
"""How the event begins."""


def warner(run: "RunStore", job: TuningJob) -> Callable[[str], None] | None:
    """Return what writes the warning as an event of the run; None for a run without a budget, and where this one was warned of.

    A run that got a larger budget is warned again.
    """
    limit = job.limits.cost
    if limit is None:
        return None
    end = f" of {format_money(limit.amount, '')}"
    if any(message.startswith(NEARLY) and end in message for _, _, message in run.events()):
        return None
    return lambda message: run.write(events=[(None, message)])
