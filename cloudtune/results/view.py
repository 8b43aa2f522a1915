"""The read-only interface of a run that reports and publishing targets use."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cloudtune.planning.plan import Plan
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, Trial


class RunView(Protocol):
    """A run as reports and publishing targets read it; `cloudtune.Run` implements it."""

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def folder(self) -> Path:
        """The run's folder on this machine."""

    @property
    def record(self) -> RunRecord:
        """The run's record in the store."""

    def refreshed(self) -> RunRecord:
        """Return the record after asking the service once.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    @property
    def job(self) -> TuningJob:
        """The spec, in which the values of environment variables are masked."""

    @property
    def plan(self) -> Plan:
        """The plan that the run was made from."""

    def trials(self) -> list[Trial]:
        """Return all trials by number."""

    def changes(self, since: int = 0) -> tuple[int, list[Trial]]:
        """Return the current revision (`since` of the next call), and the trials changed after `since` (0 for all)."""

    def reports(self, number: int | None = None) -> Iterator[Report]:
        """Yield the reports of all trials, or of trial `number`, in the order in which they arrived."""

    def events(self) -> list[tuple[float, int | None, str]]:
        """Return the run's events: seconds since 1970, trial number (None for the run itself), message."""
