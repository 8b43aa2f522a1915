"""What the trials of a run say, of one reading of those that matter for it."""

from functools import cached_property
from typing import TYPE_CHECKING

from cloudtune.results.confirmation import settled
from cloudtune.results.objectives import best_trial, pareto_front

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudtune.results.confirmation import Confirmed
    from cloudtune.run import Run
    from cloudtune.store.records import Trial


class ReadOnce:
    """A run as it is at one moment: what matters of its trials is read once, and what is asked of them is worked out from that.

    Each property of a `Run` reads them anew, since they may have changed.

    Args:
        run: to be read.

    Attributes:
        run: the run.
        job: the spec.
        record: the run's record.
        contenders: the trials that its best, its front and its nearest trial follow from.
        counts: the number of trials in each state, by the state's name.
        cost: what they have cost so far, as far as prices are known; None where nothing is.

    Raises:
        DamagedRun: what the store holds of the run is damaged.
    """

    def __init__(self, run: "Run") -> None:
        self.run, self.job, self.record, self.counts = run, run.job, run.record, run.counts()
        self.contenders, self.cost = run.contenders, run.cost

    @cached_property
    def best(self) -> "Trial | None":
        """The best feasible trial; None for several objectives."""
        return best_trial(self.job.objective, self.job.constraints, self.contenders)

    @cached_property
    def front(self) -> "list[Trial]":
        """The trials on the Pareto front."""
        return pareto_front(self.job.objective, self.job.constraints, self.contenders)

    @cached_property
    def confirmed(self) -> "Mapping[int, Confirmed]":
        """What the repetitions of candidates say, by the candidate's number."""
        return settled(self.contenders)
