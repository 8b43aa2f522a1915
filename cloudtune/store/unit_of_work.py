"""Collect what happens in a run, and write it in one transaction."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cloudtune.store.records import Report, Trial

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore


class UnitOfWork:
    """Collects trials, reports, events and taken up trials of a run until all of them are written together.

    Args:
        run: the run, whose lock the caller holds.
    """

    def __init__(self, run: "RunStore") -> None:
        self._run = run
        self._trials: dict[int, Trial] = {}
        self._reports: list[Report] = []
        self._events: list[tuple[int | None, str]] = []
        self._taken: list[int] = []

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self._trials or self._reports or self._events or self._taken)

    def trial(self, trial: Trial) -> None:
        """Add a changed trial, after those that changed before it; `write` stores its state at the time of writing."""
        self._trials.pop(trial.number, None)
        self._trials[trial.number] = trial

    def report(self, report: Report) -> None:
        """Add a report."""
        self._reports.append(report)

    def event(self, number: int | None, message: str) -> None:
        """Add an event of a trial, or of the run as a whole (None)."""
        self._events.append((number, message))

    def take(self, key: int) -> None:
        """Add an enqueued trial that is among the trials to launch now."""
        self._taken.append(key)

    def write(self, columns: Mapping[str, object] | None = None, trials: Iterable[Trial] = ()) -> None:
        """Write everything in one transaction; what cannot be written is kept for the next call.

        Args:
            columns: of the run's record; see `RunStore.write`.
            trials: further trials, written after those that were added.

        Raises:
            StoreError: the store cannot be written.
        """
        self._run.write(
            trials=[*self._trials.values(), *trials],
            reports=self._reports,
            events=self._events,
            columns=columns,
            taken=self._taken,
        )
        self._trials, self._reports, self._events, self._taken = {}, [], [], []
