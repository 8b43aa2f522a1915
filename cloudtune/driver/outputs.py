"""What a service's tuner, or the runner of its plain jobs, has to know of one run; and what both read of its trials."""

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
    """What is asked of a service for one run.

    Attributes:
        id: the run's.
        job: the spec.
        plan: its plan.
        native: the provider's notes as the run began; see `RunRecord.native`.
        created: seconds since 1970, before which no trial printed anything.
        interval: seconds between two polls.
        request: makes the plan's request without anything left open, after uploading what it names; raises ProviderError.
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
        """Seconds between two looks for more lines of a log."""
        return min(self.interval, 1.0)


class TrialOutputs(ABC):
    """Reads what the trials of one run printed, and copies what they left."""

    @abstractmethod
    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        """Return the lines that a trial printed, with those to come.

        Args:
            trial: whose job is at `Trial.place`.
            over: whether nothing more comes; asked before each look, so that what came until then is read.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @abstractmethod
    def files(self, trial: Trial, target: Path) -> list[Path]:
        """Copy what a trial left into a folder, which is made if it is not there; return the copies.

        Args:
            trial: whose job is at `Trial.place`.
            target: the folder; no file lands outside of it.

        Raises:
            TrialError: it left nothing, or something whose name leads out of the folder.
            ProviderError: the service cannot be reached, or refuses.
        """
