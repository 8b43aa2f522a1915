"""Stopping rules."""

from abc import ABC, abstractmethod

from cloudtune.store.records import TrialState


class StoppingRule(ABC):
    """Judges running trials by what they report.

    Losses are lower-is-better whatever the objective's goal.
    """

    @abstractmethod
    def observe(self, number: int, step: int, loss: float) -> bool:
        """Takes note of a trial's report and says whether the trial should be stopped (pruned) now.

        Steps of one trial arrive in increasing order; a repeated or smaller step (a trial that was started
        again) and a loss that is not finite are ignored and stop nothing.
        """

    @abstractmethod
    def ended(self, number: int, state: TrialState) -> None:
        """Takes note that a trial has ended, and how."""
