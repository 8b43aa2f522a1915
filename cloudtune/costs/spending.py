"""Charge the trials of a run for what they use, and keep the run within ``limits.cost``."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from cloudtune.costs.budget import Budget
from cloudtune.costs.kept import KeptMachines
from cloudtune.costs.meter import Meter, with_charge
from cloudtune.costs.warning import NEARLY, SHARE
from cloudtune.planning.plan import Machines
from cloudtune.planning.rates import Rate
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import COST
from cloudtune.store.records import Charge, Report, Trial


def _no_time() -> float:
    return 0.0


class Spending:
    """What a run spends.

    Nothing is charged where the machines are not known, and nothing is limited without ``limits.cost``.

    Args:
        job: the spec.
        machines: of one trial; None where they are not known.
        rates: of the machines that a trial may get, the likeliest first.
        driver: of the driver's own machine; None where that costs nothing.
        warn: called once with a message when most of the budget is spent; see `cloudtune.costs.warning`.
    """

    def __init__(
        self,
        job: TuningJob,
        machines: Machines | None = None,
        rates: Sequence[Rate] = (),
        driver: Rate | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._driver, self._elapsed, self._warn = driver, _no_time, warn
        self._measured = job.cost_place is not None
        self._meter = None if machines is None else Meter(machines, rates)
        self._kept = KeptMachines(self._meter) if self._meter is not None and self._meter.keeps else None
        self._budget = None
        if self._meter is not None and self._meter.known:
            longest = None if job.limits.trial_time is None else job.limits.trial_time.total_seconds()
            self._budget = Budget(job.limits.cost, self._meter, longest, self._of_driver)

    def follow(self, elapsed: Callable[[], float]) -> None:
        """Count the driver's own machine from now on, if it costs anything.

        Args:
            elapsed: returns the seconds that the run has been driven.
        """
        self._elapsed = elapsed

    def _of_driver(self, ahead: float) -> Decimal:
        return Decimal(0) if self._driver is None else self._driver.amount(self._elapsed() + ahead)

    def restore(self, trials: Iterable[Trial]) -> None:
        """Count what was charged before."""
        if self._budget is not None:
            for trial in trials:
                for charge in trial.charges:
                    self._budget.charge(charge)

    def start(self, trial: Trial, used: Callable[[], float], machine: str = "") -> list[Trial]:
        """Count a trial as running; it takes machines that are kept, if there are some.

        Args:
            trial: the trial.
            used: returns the seconds that are billed for its attempt so far.
            machine: the one that it has; "" for that of the plan.

        Returns:
            The trial whose machines were kept until now, with its charge as it is now.
        """
        if self._budget is not None:
            self._budget.start(trial.number, used, machine)
        taken = None if self._kept is None else self._kept.take(machine)
        return [] if taken is None else self._corrected([taken])

    def close(self) -> list[Trial]:
        """Give back the machines that wait for a trial; return the trials that they are from, with their charges as they are now."""
        return self._corrected([] if self._kept is None else list(self._kept.let_go()))

    def _corrected(self, changed: Iterable[tuple[Trial, Charge, Charge]]) -> list[Trial]:
        trials = []
        for trial, before, after in changed:
            if self._budget is not None:
                self._budget.correct(before, after)
            trials.append(trial)
        return trials

    def end(self, trial: Trial, seconds: float, machine: str = "") -> None:
        """Charge a trial for its attempt, which has ended; set its metric `cost` where that is an objective.

        The metric is without the time for which machines are kept after it, since that is up to the next trial.

        Args:
            trial: whose charges and metrics are changed.
            seconds: that are billed for each of its machines.
            machine: the one that it got; "" for that of the plan.
        """
        if self._meter is None:
            return
        tail = 0.0 if self._kept is None else self._meter.tail(machine)
        charge = self._meter.charge(trial.attempt, seconds, machine, tail)
        with_charge(trial, charge)
        if self._kept is not None:
            self._kept.add(trial, charge)
        if self._measured:
            self._measure(trial)
        if self._budget is not None:
            self._budget.end(trial.number)
            self._budget.charge(charge)

    @staticmethod
    def _measure(trial: Trial) -> None:
        used = [each.used for each in trial.charges if each.used is not None]
        if len(used) == len(trial.charges):
            trial.metrics.setdefault(COST, float(sum(used)))

    def lose(self, trial: Trial, reports: Iterable[Report], machine: str = "") -> None:
        """Charge a trial for an attempt that ended unseen, up to its last sign of life.

        Args:
            trial: in the attempt that was lost.
            reports: of the trial.
            machine: the one that it had; "" for that of the plan.
        """
        if trial.started is not None:
            last = max((each.time for each in reports if each.attempt == trial.attempt), default=trial.started)
            self.end(trial, last - trial.started, machine)

    def may_start(self, more: int = 0) -> bool:
        """Return whether another trial fits what is left, and so many more after it."""
        return self._budget is None or self._budget.fits(more)

    def exhausted(self, *, idle: bool, ahead: float = 0.0) -> str | None:
        """Return why the run has to end for what it has spent; None to continue.

        Args:
            idle: whether no trial runs, so that one which does not fit now never will.
            ahead: seconds that the running trials go on, at least, before this is asked again.
        """
        if self._budget is not None and self._warn is not None and self._budget.reached(ahead, share=SHARE):
            self._warn(f"{NEARLY} {self._budget} (limits.cost)")
            self._warn = None
        if self._budget is None or not (self._budget.reached(ahead) or (idle and not self._budget.fits())):
            return None
        return self._budget.message

    @property
    def text(self) -> str:
        """What has been spent, and of what: ``1.20 of 5.00 USD``; "" where no price is known."""
        return "" if self._budget is None else str(self._budget)
