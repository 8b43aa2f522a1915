"""The data of a run that its report shows, read once."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from cloudtune.costs.views import RunCost, run_cost
from cloudtune.planning.plan import Plan
from cloudtune.results.confirmation import Confirmed, settled
from cloudtune.results.constraints import nearest_trial, violations, why_infeasible
from cloudtune.results.continued import continued_reports
from cloudtune.results.importance import importance, importance_intervals
from cloudtune.results.objectives import best_trial, losses, pareto_front
from cloudtune.search.insight import Insight
from cloudtune.space.space import Space, Values
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import Objective
from cloudtune.store.records import Report, RunRecord, Trial, TrialState

if TYPE_CHECKING:
    from cloudtune.results.view import RunView

MAX_CURVES = 200
"""Most learning curves that are drawn; of more, the best and an even selection of the others."""

MAX_STEPS = 400
"""Most points of a learning curve that are drawn; of more, an even selection."""

Curve = list[tuple[int, float]]
"""Steps and values of one trial."""


@dataclass(frozen=True)
class Study:
    """The data of a run for its report.

    Attributes:
        record: the run's record in the store.
        job: the spec, with masked environment.
        plan: the plan that the run was made from.
        trials: all trials by number.
        curves: of trials with several reports: the objective at each step of their course; see `with_reported_curves`.
        more_curves: whether further trials have such curves.
        events: seconds since 1970, trial (None for the run) and message.
        aim: the index of the objective that the charts show, from 0.
    """

    record: RunRecord
    job: TuningJob
    plan: Plan
    trials: Sequence[Trial]
    curves: Mapping[int, Curve] = field(default_factory=dict)
    more_curves: bool = False
    events: Sequence[tuple[float, int | None, str]] = ()
    aim: int = 0

    @property
    def objective(self) -> Objective:
        """The objective that the charts show."""
        return self.job.objective[self.aim]

    def aimed(self, aim: int) -> "Study":
        """Return a copy for the charts of another objective."""
        return replace(self, aim=aim)

    @property
    def contenders(self) -> Sequence[Trial]:
        """The trials that its best, its front and its nearest trial follow from: all."""
        return self.trials

    @cached_property
    def space(self) -> Space:
        """The space of the job."""
        return self.job.search_space()

    @cached_property
    def best(self) -> Trial | None:
        """The best feasible trial; None for several objectives."""
        return best_trial(self.job.objective, self.job.constraints, self.trials)

    @cached_property
    def confirmed(self) -> dict[int, Confirmed]:
        """What the repetitions of the candidates say; see `cloudtune.results.confirmation.settled`."""
        return settled(self.trials)

    @cached_property
    def front(self) -> list[Trial]:
        """The trials on the Pareto front of the feasible ones, by number."""
        return pareto_front(self.job.objective, self.job.constraints, self.trials)

    @cached_property
    def nearest(self) -> Trial | None:
        """Where no trial is feasible, the completed one that violates the constraints least; else None."""
        return nearest_trial(self.job.objective, self.job.constraints, self.trials)

    def why_infeasible(self, trial: Trial) -> str:
        """Return which constraints a completed trial violates; "" for none, and for other trials."""
        return why_infeasible(self.job.constraints, trial.metrics) if trial.state is TrialState.COMPLETED else ""

    @cached_property
    def counts(self) -> Counter[TrialState]:
        """The number of trials in each state."""
        return Counter(trial.state for trial in self.trials)

    @cached_property
    def cost(self) -> RunCost | None:
        """What the trials have cost; None where nothing was charged, or no price is known."""
        return run_cost(self.record, self.trials, self.job)

    @cached_property
    def latest(self) -> float:
        """The latest time in the run's data, in seconds since 1970."""
        moments = [self.record.created, self.record.started, self.record.ended]
        moments += [moment for trial in self.trials for moment in (trial.started, trial.ended)]
        moments += [moment for moment, _, _ in self.events]
        return max(moment for moment in moments if moment is not None)

    def value(self, trial: Trial) -> float | None:
        """Return a trial's value of the objective; None if the trial failed or the value is missing or not finite."""
        if trial.state is TrialState.FAILED or losses((self.objective,), trial.metrics) is None:
            return None
        return trial.metrics[self.objective.metric]

    @cached_property
    def values(self) -> dict[int, float]:
        """`value` of each trial that has one, by the trial's number."""
        return {trial.number: value for trial in self.trials if (value := self.value(trial)) is not None}

    @cached_property
    def ranked(self) -> list[Trial]:
        """The completed trials of the search that have a value, the feasible ones before the others, the best first."""
        completed = [trial for trial in self.trials if trial.state is TrialState.COMPLETED and trial.repeat_of is None]
        found = [trial for trial in completed if trial.number in self.values]
        sign = 1 if self.objective.goal == "minimize" else -1
        return sorted(
            found, key=lambda trial: (self.why_infeasible(trial) != "", sign * self.values[trial.number], trial.number)
        )

    @cached_property
    def shares(self) -> dict[str, float] | None:
        """The importance of each parameter; see `cloudtune.results.importance.importance`."""
        return importance(self.space, self.lost)

    @cached_property
    def share_ends(self) -> dict[str, tuple[float, float]]:
        """The ends of the interval of each of `shares`; see `cloudtune.results.importance.importance_intervals`."""
        return importance_intervals(self.space, self.lost)

    @property
    def sign(self) -> int:
        """What turns a value of the objective into a loss, and back."""
        return 1 if self.objective.goal == "minimize" else -1

    @property
    def lost(self) -> list[tuple[Values, float]]:
        """The parameters and the loss of each of `ranked`."""
        return [(trial.parameters, self.sign * self.values[trial.number]) for trial in self.ranked]

    @cached_property
    def insight(self) -> Insight:
        """What a Gaussian process makes of the completed trials."""
        found = sorted(self.ranked, key=lambda trial: trial.number)
        lost = [(trial.parameters, self.sign * self.values[trial.number]) for trial in found]
        limits = self.job.constraints
        beyond = [max(violations(limits, trial.metrics)) for trial in found] if limits else None
        return Insight(self.space, lost, beyond)


def choose(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Return at most `most` trials: half of them the first (best) ones, and an even selection of the others."""
    if len(trials) <= most:
        return list(trials)
    first = most // 2
    rest, count = trials[first:], most - first
    return [*trials[:first], *(rest[index * len(rest) // count] for index in range(count))]


def study_of(run: "RunView") -> Study:
    """Return the data of a run that its report needs.

    Raises:
        StoreError: the store cannot be read.
    """
    return with_reported_curves(study_without_curves(run), run)


def study_without_curves(run: "RunView") -> Study:
    """Return the data of a run without what its trials have reported, which takes a query for each.

    Raises:
        StoreError: the store cannot be read.
    """
    record = run.record  # read before the trials, which end before the run
    return Study(record, run.job, run.plan, run.trials(), events=run.events())


def with_reported_curves(study: Study, run: "RunView") -> Study:
    """Return a study of a run with the learning curves of the objective that its charts show.

    Raises:
        StoreError: the store cannot be read.
    """
    metric = study.objective.metric
    return with_curves(study, lambda trial: curve_of(run.reports(trial.number), trial.attempt, metric))


def with_curves(study: Study, curve: Callable[[Trial], Curve]) -> Study:
    """Return a study with the learning curves of the trials of `trials_with_curves`.

    Args:
        study: without curves.
        curve: returns the curve of a trial; see `curve_of`.
    """
    chosen, more = trials_with_curves(study)
    curves = {trial.number: found for trial in chosen if len(found := curve(trial)) > 1}
    return replace(study, curves=curves, more_curves=bool(curves) and more)


def trials_with_curves(study: Study) -> tuple[list[Trial], bool]:
    """Return at most `MAX_CURVES` trials whose curves are drawn, and whether there are more.

    They are the running ones, the best, and an even selection of the others.
    """
    ranked = study.ranked
    known = {trial.number for trial in ranked}
    others = [trial for trial in study.trials if trial.number not in known and trial.attempt]
    others.sort(key=lambda trial: trial.state.ended)
    # At least a third for trials that did not complete, so that running and pruned ones are shown beside completed ones.
    few = min(len(others), max(MAX_CURVES // 3, MAX_CURVES - len(ranked)))
    chosen = [*choose(ranked, MAX_CURVES - few), *choose(others, few)]
    return chosen, len(chosen) < len(ranked) + len(others)


def curve_of(reports: Iterable[Report], attempt: int, metric: str) -> Curve:
    """Return the reports by step, up to the last attempt's; of a step reported several times, the last value."""
    points = {each.step: each.metrics[metric] for each in continued_reports(reports, attempt) if metric in each.metrics}
    steps = sorted(points)
    if len(steps) > MAX_STEPS:
        steps = [steps[index * (len(steps) - 1) // (MAX_STEPS - 1)] for index in range(MAX_STEPS)]
    return [(step, points[step]) for step in steps]
