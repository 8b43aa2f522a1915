"""What a report or another tool reads of a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cloudtune.planning.plan import Plan
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, Trial


class RunView(Protocol):
    """A run as its reader sees it; `cloudtune.Run` is one."""

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def folder(self) -> Path:
        """The run's folder on this machine."""

    @property
    def record(self) -> RunRecord:
        """What the store knows of the run."""

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
        """Return the revision to ask with next time, and the trials that changed after a revision (0 for all)."""

    def reports(self, number: int | None = None) -> Iterator[Report]:
        """Yield what the trials, or one of them, reported, in the order in which it came."""

    def events(self) -> list[tuple[float, int | None, str]]:
        """Return what happened: seconds since 1970, trial (None for the run itself), message."""
