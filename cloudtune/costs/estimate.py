"""Say before a launch what a job costs at most, and what it will probably cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean

from pydantic import JsonValue

from cloudtune.planning.plan import Plan
from cloudtune.planning.rates import Rate
from cloudtune.planning.summary import Summary
from cloudtune.spec.job import TuningJob
from cloudtune.spec.money import format_money


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job costs.

    Attributes:
        rate: of the machines that its trials will probably get.
        parallel: how many trials run at once.
        machines: number of machines of a trial.
        hours: greatest machine time in hours, with that for which machines wait for trials; None without a bound.
        most: the greatest cost; None without a bound.
        expected: what it will probably cost; None where nothing is known to tell it by.
        basis: what `expected` follows from; "" without it.
        others: the rates of other machines that its trials may get.
        driver: the rate of the machine of a driver that is a job of its own; None for a driver here.
    """

    rate: Rate
    parallel: int
    machines: int
    hours: float | None
    most: Decimal | None
    expected: Decimal | None = None
    basis: str = ""
    others: tuple[Rate, ...] = ()
    driver: Rate | None = None

    def __str__(self) -> str:
        machines = ", or ".join(self._priced(rate) for rate in (self.rate, *self.others))
        driver = "" if self.driver is None else f", and {self._at_price(self.driver, 'the driver on ')} while it runs"
        return f"{machines}, {self.parallel} at once{driver}; {self._most()}{self._expected()}"

    def _priced(self, rate: Rate) -> str:
        count = rate.count or self.machines
        return self._at_price(rate, f"{count} × " if count > 1 else "")

    @staticmethod
    def _at_price(rate: Rate, before: str) -> str:
        about = "about " if rate.estimated else ""
        source = f" ({rate.source})" if rate.source else ""
        kind, other = ("spot", "on demand") if rate.spot else ("on demand", "spot")
        otherwise = "" if rate.otherwise is None else f", {format_money(rate.otherwise, rate.currency)} {other}"
        return f"{before}{rate.machine} at {about}{format_money(rate.per_hour, rate.currency)} an hour {kind}{otherwise}{source}"

    def _most(self) -> str:
        if self.most is None:
            return "no bound on the cost: give limits.cost, limits.time or limits.trial_time"
        hours = "" if self.hours is None else f"at most {self.hours:,.4g} machine-hours, "
        return f"{hours}at most {format_money(self.most, self.rate.currency)}"

    def _expected(self) -> str:
        if self.expected is None:
            return ""
        return f"; expected {format_money(self.expected, self.rate.currency)} ({self.basis})"

    def to_data(self) -> dict[str, JsonValue]:
        """Return the estimate as plain data for JSON; amounts are texts, since JSON has no decimal numbers."""
        return {
            "rate": self.rate.to_data(),
            "parallel": self.parallel,
            "machines": self.machines,
            "machine_hours": self.hours,
            "most": None if self.most is None else str(self.most),
            "expected": None if self.expected is None else str(self.expected),
            "basis": self.basis,
            "others": [rate.to_data() for rate in self.others],
            **({} if self.driver is None else {"driver": self.driver.to_data()}),
        }


def estimate(
    job: TuningJob, plan: Plan, summary: Summary, earlier: Sequence[float] = (), whose: str = ""
) -> Estimate | None:
    """Return what a job costs; None where no price is known.

    Args:
        job: the spec.
        plan: of the job, with its rates.
        summary: of the plan.
        earlier: seconds that trials of the same program took before.
        whose: where they ran, such as "run digits-1".
    """
    if not plan.rates:
        return None
    dearest = max(plan.rates, key=lambda rate: rate.per_hour)
    parallel = min(job.limits.parallel, summary.trials or job.limits.parallel)
    hours = _hours(job, plan, summary, parallel * summary.machines)
    bounds = _bounds(dearest, hours, plan.driver, job)
    if job.limits.cost is not None:
        bounds.append(job.limits.cost.amount)
    most = min(bounds, default=None)
    expected, basis = _expected(plan.rates[0], summary, earlier, whose)
    if expected is not None and most is not None:
        expected = min(expected, most)
    first, *others = plan.rates
    return Estimate(first, parallel, summary.machines, hours, most, expected, basis, tuple(others), plan.driver)


def _bounds(dearest: Rate, hours: float | None, driver: Rate | None, job: TuningJob) -> list[Decimal]:
    """Return the greatest cost by the time on machines; none where there is no bound.

    A driver that is a job of its own is paid until the run ends, and how long trials wait for machines is not known: only
    ``limits.time`` bounds that.
    """
    if hours is None or (driver is not None and job.limits.time is None):
        return []
    until = 0.0 if job.limits.time is None else job.limits.time.total_seconds()
    return [dearest.amount(hours * 3600) + (Decimal(0) if driver is None else driver.amount(until))]


def _hours(job: TuningJob, plan: Plan, summary: Summary, at_once: int) -> float | None:
    """Return the greatest machine time in hours, with that for which machines are kept for the next trial.

    Args:
        job: the spec.
        plan: of the job.
        summary: of the plan.
        at_once: greatest number of machines at once.
    """
    usual = 0.0 if plan.machines is None else plan.machines.kept
    kept = max(usual if rate.kept is None else rate.kept for rate in plan.rates)
    if not kept or summary.machine_hours is None:
        return summary.machine_hours
    until = math.inf if job.limits.time is None else job.limits.time.total_seconds()
    bounds = [at_once * (until if math.isinf(kept) else until + kept) / 3600]
    if summary.trials is not None and not math.isinf(kept):
        bounds.append(summary.machine_hours + summary.trials * (1 + job.retries) * summary.machines * kept / 3600)
    most = min(bounds)
    return None if math.isinf(most) else most


def _expected(rate: Rate, summary: Summary, earlier: Sequence[float], whose: str) -> tuple[Decimal | None, str]:
    if not earlier or summary.trials is None:
        return None, ""
    mean = fmean(earlier)
    basis = f"{len(earlier)} trials of {whose} took {mean:,.3g} s each"
    return rate.amount(mean * summary.trials, summary.machines), basis
