"""What a report is about: everything of a run that its charts need, gathered once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudtune.job import Objective, TuningJob
from cloudtune.outcome import best_trial, losses, pareto_front
from cloudtune.plan import Plan
from cloudtune.space import Space
from cloudtune.states import RunRecord, Trial, TrialState

if TYPE_CHECKING:
    from cloudtune.run import Run

MAX_CURVES = 150
"""Learning curves that are drawn; of more, those of the best trials."""


@dataclass(frozen=True)
class Study:
    """A run, as its report sees it.

    Attributes:
        record: what the store knows of the run.
        job: the spec, with masked environment.
        plan: what the run was made from.
        trials: all trials by number.
        curves: of trials with several reports: the first objective's value at each step.
        events: seconds since 1970, trial (None for the run) and message.
    """

    record: RunRecord
    job: TuningJob
    plan: Plan
    trials: Sequence[Trial]
    curves: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    events: Sequence[tuple[float, int | None, str]] = ()

    @property
    def objective(self) -> Objective:
        """The first objective."""
        return self.job.objective[0]

    @property
    def space(self) -> Space:
        """The space of the job."""
        return self.job.search_space()

    @property
    def best(self) -> Trial | None:
        """The best trial; None for several objectives."""
        return best_trial(self.job.objective, self.trials)

    @property
    def front(self) -> list[Trial]:
        """The trials that no other beats in every objective."""
        return pareto_front(self.job.objective, self.trials)

    def value(self, trial: Trial) -> float | None:
        """A trial's first objective, if it is finite."""
        found = losses((self.objective,), trial.metrics)
        return None if found is None else trial.metrics[self.objective.metric]

    @property
    def completed(self) -> list[Trial]:
        """The trials that ended well."""
        return [trial for trial in self.trials if trial.state is TrialState.COMPLETED]


def study_of(run: "Run") -> Study:
    """Everything of a run that its report needs."""
    job, trials = run.job, run.trials()
    return Study(run.record, job, run.plan, trials, _curves(run, job, trials), run.events())


def _curves(run: "Run", job: TuningJob, trials: Sequence[Trial]) -> dict[int, list[tuple[int, float]]]:
    metric = job.objective[0].metric
    ranked = sorted(
        trials, key=lambda trial: (losses(job.objective[:1], trial.metrics) or (float("inf"),), trial.number)
    )
    curves: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for trial in ranked:
        if len(curves) >= MAX_CURVES:
            break
        points = [
            (report.step, report.metrics[metric]) for report in run.reports(trial.number) if metric in report.metrics
        ]
        if len(points) > 1:
            curves[trial.number] = points
    return dict(curves)
