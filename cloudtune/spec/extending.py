"""Longer limits for a run that goes on: what is added to them, or takes their place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from cloudtune.errors import Problem, SpecError
from cloudtune.spec.job import Limits, TuningJob
from cloudtune.spec.money import Money, money_data, parse_money
from cloudtune.spec.units import format_duration, parse_duration

LIMITS = "limits"


@dataclass(frozen=True, slots=True)
class Used:
    """What a run has used so far, to which is added where it had no limit.

    Attributes:
        trials: their number, as `limits.trials` counts it.
        seconds: that it was driven.
        cost: of its trials, as far as prices are known.
    """

    trials: int
    seconds: float
    cost: Decimal


def extended(job: TuningJob, more: Mapping[str, object], limits: Mapping[str, object], used: Used) -> TuningJob:
    """Return a job with longer limits.

    Args:
        job: the spec.
        more: what is added to ``trials``, ``cost`` or ``time``; where the job has no such limit, to what was used.
        limits: limits by name that take the place of the job's; null for none.
        used: so far.

    Raises:
        SpecError: an amount cannot be added, or the limits are not valid.
    """
    problems, added = [], {}
    for name, amount in more.items():
        try:
            added[name] = _SUMS[name](job.limits, amount, used)
        except ValueError as error:
            problems.append(Problem(f"{LIMITS}.{name}", str(error)))
    if problems:
        raise SpecError(problems, "the extension")
    data: dict[str, Any] = job.to_data(portable=True)
    data[LIMITS] = {**data.get(LIMITS, {}), **limits, **added}
    return TuningJob.from_data(data, "the extension")


def changes(before: Limits, after: Limits) -> list[str]:
    """Return how limits differ, a text each."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return [f"{LIMITS}.{name}: {_said(old[name])} → {_said(new[name])}" for name in new if old[name] != new[name]]


def _said(value: object) -> str:
    return "none" if value is None else str(value)


def _trials(limits: Limits, amount: object, used: Used) -> int:
    try:
        more = int(str(amount))
    except ValueError:
        raise ValueError(f"{amount!r} is no number of trials, such as 20") from None
    return (used.trials if limits.trials is None else limits.trials) + more


def _cost(limits: Limits, amount: object, used: Used) -> str | int | float:
    more = parse_money(amount)
    if limits.cost is None:
        return money_data(Money(used.cost + more.amount, more.currency))
    if more.currency and limits.cost.currency and more.currency != limits.cost.currency:
        raise ValueError(f"{more} cannot be added to {limits.cost}; give it in {limits.cost.currency}")
    return money_data(Money(limits.cost.amount + more.amount, limits.cost.currency or more.currency))


def _time(limits: Limits, amount: object, used: Used) -> str:
    before = timedelta(seconds=used.seconds) if limits.time is None else limits.time
    return format_duration(
        before + parse_duration(amount if isinstance(amount, float | int | timedelta) else str(amount))
    )


_SUMS: Mapping[str, Callable[[Limits, object, Used], Any]] = {"trials": _trials, "cost": _cost, "time": _time}
