"""Progress of a run: the metric values that count, the trials in each state, and the best trial."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cloudtune.results.constraints import total_violation, violations
from cloudtune.results.failures import Failures
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective
from cloudtune.store.records import RunState, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Progress:
    """A snapshot of a run's progress, for a watcher.

    Attributes:
        state: the run's state.
        counts: how many trials there are in each state, by the state's name.
        total: how many trials there will be; None where that is not known.
        best: the best feasible trial so far; None before the first good one, and for several objectives.
        elapsed: seconds since the run was started, pauses left out.
        eta: seconds that the rest will take at the pace so far; None where that is not known.
        running: the running trials, in the order in which they started.
        message: the events since the previous snapshot, one per line; "" for none.
        nearest: the completed trial that violates the constraints least; None where one is feasible, or none is known.
        cost: what has been spent, with the budget if there is one: ``1.20 of 5.00 USD``; "" where nothing is known of it.
    """

    state: RunState
    counts: Mapping[str, int]
    total: int | None
    best: Trial | None
    elapsed: float
    eta: float | None
    running: tuple[Trial, ...] = ()
    message: str = ""
    cost: str = ""
    nearest: Trial | None = None


Watcher = Callable[[Progress], None]
"""A callback that receives the progress, about ten times a second at most."""


def time_left(done: int, total: int | None, elapsed: float, limit: timedelta | None = None) -> float | None:
    """Return the seconds that the rest of a run takes at its pace so far; None where that is not known.

    Args:
        done: number of ended trials.
        total: number of all trials; None where it is not known.
        elapsed: seconds so far.
        limit: the time that the run may take; None for no limit.
    """
    if not done or total is None:
        return None
    rest = elapsed / done * (total - done)
    return max(rest if limit is None else min(rest, limit.total_seconds() - elapsed), 0.0)


class ProgressCounter:
    """Counts of ended trials, and the best feasible one of them.

    Args:
        objectives: of the job.
        constraints: of the job.

    Attributes:
        counts: the ended trials by state.
        best: the best feasible trial; None for none, and for several objectives.
        best_loss: its loss; infinite for none.
        since_best: completed trials in a row, up to the last, that brought no better feasible one. Before the first
            feasible one, a trial that violates the constraints less than all before it counts as better.
        failures: how trials failed.
    """

    def __init__(self, objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> None:
        self._constraints = constraints
        self._nearest: tuple[float, int, Trial] | None = None
        self._single = len(objectives) == 1
        self._metric = objectives[0].metric
        self.counts = {state: 0 for state in TrialState if state.ended}
        self.best: Trial | None = None
        self.best_loss = math.inf
        self.since_best = 0
        self.failures = Failures()

    def add(self, trial: Trial, values: tuple[float, ...] | None) -> bool:
        """Count an ended trial; return whether it is the first failure of its kind.

        Args:
            trial: the ended trial.
            values: its losses, one per objective; None where it has none.
        """
        self.counts[trial.state] += 1
        self._rank(trial, values)
        if trial.state is TrialState.FAILED:
            return self.failures.add(trial.number, trial.reason, trial.parameters, trial.place)
        if trial.state is not TrialState.CANCELLED:
            self.failures.succeeded()
        return False

    def snapshot(
        self,
        state: RunState,
        *,
        launched: tuple[Trial, ...],
        paused: int,
        total: int | None,
        elapsed: float,
        limit: timedelta | None = None,
        message: str = "",
        cost: str = "",
    ) -> Progress:
        """Return a snapshot of the run's progress; see `Progress`.

        Args:
            state: of the run.
            launched: the trials that run, or wait for room at their place.
            paused: how many are paused.
            total: how many there will be; None where that is not known.
            elapsed: seconds so far.
            limit: the time that the run may take; None for no limit.
            message: the events since the previous snapshot.
            cost: what has been spent.
        """
        counts = {each.value: count for each, count in self.counts.items() if count}
        running = tuple(trial for trial in launched if not trial.queued)
        counts |= {TrialState.RUNNING.value: len(running)} if running else {}
        counts |= {TrialState.WAITING.value: len(launched) - len(running)} if len(launched) > len(running) else {}
        counts |= {TrialState.PAUSED.value: paused} if paused else {}
        eta = time_left(sum(self.counts.values()), total, elapsed, limit)
        return Progress(
            state=state,
            counts=counts,
            total=total,
            best=self.best,
            nearest=self.nearest,
            elapsed=elapsed,
            eta=eta,
            running=running,
            message=message,
            cost=cost,
        )

    def _rank(self, trial: Trial, values: tuple[float, ...] | None) -> None:
        if trial.state is not TrialState.COMPLETED or values is None or trial.repeat_of is not None:
            return
        violation = total_violation(violations(self._constraints, trial.metrics))
        nearer = self._nearest is None or (violation, trial.number) < self._nearest[:2]
        if nearer:
            self._nearest = violation, trial.number, trial
        if not self._single:
            return
        if violation > 0:
            self.since_best = 0 if nearer else self.since_best + 1
            return
        if (values[0], trial.number) < (self.best_loss, self.best.number if self.best else math.inf):
            self.since_best = 0 if values[0] < self.best_loss else self.since_best + 1
            self.best, self.best_loss = trial, values[0]
        else:
            self.since_best += 1

    @property
    def nearest(self) -> Trial | None:
        """The completed trial that violates the constraints least; None where one is feasible, or none is known."""
        known = self._nearest
        return None if known is None or not 0 < known[0] < math.inf else known[2]

    @property
    def best_value(self) -> float | None:
        """The best trial's objective."""
        return self.best.metrics[self._metric] if self.best else None

    @property
    def best_number(self) -> int | None:
        """The best trial's number."""
        return self.best.number if self.best else None


def keep_counting_values(
    objectives: Sequence[Objective], kept: dict[str, float], reported: Mapping[str, float]
) -> None:
    """Update a trial's metrics by a report: the last value counts, or the best where the objective says so."""
    best_counts = {objective.metric: objective.goal for objective in objectives if objective.measurement == "best"}
    for name, value in reported.items():
        goal = best_counts.get(name)
        if goal is None or name not in kept or math.isnan(kept[name]):
            kept[name] = value
        elif not math.isnan(value):
            kept[name] = max(kept[name], value) if goal == "maximize" else min(kept[name], value)
