"""What the trials of a run say, of one reading of them."""

from functools import cached_property
from typing import TYPE_CHECKING

from cloudtune.costs.views import run_cost
from cloudtune.results.confirmation import settled
from cloudtune.results.objectives import best_trial, pareto_front

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudtune.costs.views import RunCost
    from cloudtune.results.confirmation import Confirmed
    from cloudtune.run import Run
    from cloudtune.store.records import Trial


class ReadOnce:
    """A run as it is at one moment: its trials are read once, and what is asked of them is worked out from that.

    Each property of a `Run` reads all trials anew, since they may have changed: of 100,000 trials that takes a second each time.

    Args:
        run: to be read.

    Attributes:
        job: the spec.
        record: the run's record.
        trials: all trials by number.
    """

    def __init__(self, run: "Run") -> None:
        self.job, self.record, self.trials = run.job, run.record, run.trials()

    @cached_property
    def best(self) -> "Trial | None":
        """The best feasible trial; None for several objectives."""
        return best_trial(self.job.objective, self.job.constraints, self.trials)

    @cached_property
    def front(self) -> "list[Trial]":
        """The trials on the Pareto front."""
        return pareto_front(self.job.objective, self.job.constraints, self.trials)

    @cached_property
    def confirmed(self) -> "Mapping[int, Confirmed]":
        """What the repetitions of candidates say, by the candidate's number."""
        return settled(self.trials)

    @cached_property
    def cost(self) -> "RunCost | None":
        """What the trials have cost so far, as far as prices are known; None where nothing is."""
        return run_cost(self.record, self.trials, self.job)
