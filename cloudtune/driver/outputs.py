"""The description of a run for a service's tuner or job runner, and the interface by which both read trials' outputs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudtune.driver.interrupt import Condition
from cloudtune.planning.plan import Plan
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial


@dataclass(frozen=True, slots=True)
class RunBrief:
    """A run, as a service's tuner or job runner needs it.

    Attributes:
        id: the run's.
        job: the spec.
        plan: its plan.
        native: the provider's notes at the beginning of the run; see `RunRecord.native`.
        created: seconds since 1970; no trial printed anything before.
        interval: seconds between two polls.
        request: uploads what the plan's request names and returns the complete request; raises ProviderError.
    """

    id: str
    job: TuningJob
    plan: Plan
    native: Mapping[str, str]
    created: float
    interval: float
    request: Callable[[], dict[str, Any]]

    @property
    def soon(self) -> float:
        """Seconds between two reads of a log that is followed."""
        return min(self.interval, 1.0)


class TrialOutputs(ABC):
    """Reads what the trials of one run printed, and copies what they left."""

    @abstractmethod
    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        """Return the lines that a trial printed, and those that follow until `over`.

        Args:
            trial: whose job is at `Trial.place`.
            over: returns whether nothing more follows; called before each read, so that the last read is complete.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @abstractmethod
    def files(self, trial: Trial, target: Path) -> list[Path]:
        """Copy what a trial left into a folder, made if it is missing; return the copies.

        Args:
            trial: whose job is at `Trial.place`.
            target: the folder; no file lands outside of it.

        Raises:
            TrialError: the trial left nothing, or a file whose name leads out of the folder.
            ProviderError: the service cannot be reached, or refuses.
        """
