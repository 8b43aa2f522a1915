"""A tuning job of a service as a run: what is the same whichever service tunes.

A provider's watch looks at the service and says what it saw of each trial; this keeps it in the store, enforces the
limits that the service has not, and finds out how the run as a whole ended.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudtune.driver.limits import failing_alike, limit_reached, time_reached
from cloudtune.planning.plan import Plan, Support
from cloudtune.results.objectives import losses, what_is_missing
from cloudtune.results.printed_metrics import last_lines
from cloudtune.results.progress import ProgressCounter
from cloudtune.store.records import Report, RunState, Trial, TrialState

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """What a service says of a tuning job itself.

    Attributes:
        state: of the job, before the reasons are looked at.
        created: seconds since 1970; None where the service does not say.
        elapsed: seconds from the making of the job to its end, or until now.
        reason: why it failed, was stopped or ended early; "" for none.
    """

    state: RunState
    created: float | None
    elapsed: float
    reason: str = ""


class ManagedWatch(ABC):
    """Keeps one run's part of the store up to date with its tuning job.

    Args:
        run: whose lock the caller holds while it looks.
        job: the spec.
        plan: which limits are watched.

    Attributes:
        lines: gives what an ended trial printed.
    """

    def __init__(self, run: "RunStore", job: "TuningJob", plan: Plan) -> None:
        self.run = run
        self.job = job
        self.plan = plan
        self._tally = ProgressCounter(job.objective)
        self._ending: tuple[RunState, str] | None = None
        self._changed: dict[int, Trial] = {}
        self._reports: list[Report] = []
        self._events: list[tuple[int | None, str]] = []
        self.lines: Callable[[Trial], Iterable[str]] = lambda _trial: ()

    @abstractmethod
    def look(self) -> RunState:
        """Learns what is new at the service, and writes it down; all that is left when the job has ended."""

    @abstractmethod
    def stop(self) -> None:
        """Asks the tuning job to end; nothing if it has, or was never made."""

    # For whoever looks

    def restored(self) -> list[Trial]:
        """The trials that an earlier watch saw end; what it knew of the others is forgotten, to be told anew."""
        ended = []
        for trial in self.run.history():
            if trial.state.ended:
                self._count(trial)  # whether it failed in a new way was told then
                ended.append(trial)
            else:
                self.run.forget_reports(trial.number, trial.attempt)
        return ended

    def what_is_missing(self, trial: Trial, reported: Mapping[str, float] | None = None) -> str:
        """Why a trial that ended well has no usable objective, in words.

        Args:
            trial: which.
            reported: the last value of each of its metrics; None for those that count.
        """
        values = trial.metrics if reported is None else reported
        return what_is_missing(self.job.objective, values, last_lines(self.lines(trial)))

    def changed(self, trial: Trial) -> None:
        """Notes that a trial is not as it was."""
        self._changed[trial.number] = trial

    def reported(self, report: Report) -> None:
        """Notes a report."""
        self._reports.append(report)

    def finished(self, trial: Trial) -> None:
        """Notes that a trial has ended, behind those that ended before it."""
        self._changed.pop(trial.number, None)
        self._changed[trial.number] = trial
        if self._count(trial):
            self._events.append((trial.number, f"failed: {trial.reason}"))

    def _count(self, trial: Trial) -> bool:
        values = losses(self.job.objective, trial.metrics) if trial.state is not TrialState.FAILED else None
        return self._tally.add(trial, values)

    def why_ended(self) -> str | None:
        """Why the job was told to end; None if nobody did."""
        if self._ending is not None:
            return self._ending[1]
        return "cancelled by its user" if self.run.wish() else None

    # Limits that the service has not

    def enforce(self, sight: JobSnapshot) -> None:
        """Stops a running tuning job when a limit is reached that only a client can watch."""
        if self._ending is not None or sight.state is not RunState.RUNNING:
            return
        watched = {note.path for note in self.plan.notes if note.support is Support.WATCHED}
        reached = time_reached(self.job, sight.elapsed) if "limits.time" in watched else None
        if watched & {"limits.failed", "limits.no_improvement", "limits.target"}:
            reached = reached or limit_reached(self.job, self._tally)
        reached = reached or failing_alike(self.job, self._tally)
        if reached is not None:
            self._ending = reached
            self._events.append((None, reached[1]))
            self.stop()

    # The run as a whole

    def write(self, sight: JobSnapshot) -> RunState:
        """Writes down all that was noted, and how the run is; returns that."""
        state, reason = self._outcome(sight)
        columns: dict[str, object] = {
            "state": state.value,
            "reason": reason,
            "elapsed": sight.elapsed,
            "seen": time.time(),
        }
        if sight.created is not None:
            columns["started"] = sight.created
        if state.ended:
            columns["ended"] = time.time()
            self._events += [(None, repeated) for repeated in self._tally.failures.repeated()]
            self._events.append((None, f"{state.value}: {reason}" if reason else state.value))
        self.run.write(trials=list(self._changed.values()), reports=self._reports, events=self._events, columns=columns)
        self._changed, self._reports, self._events = {}, [], []
        return state

    def _outcome(self, sight: JobSnapshot) -> tuple[RunState, str]:
        """The run's state and why, from the tuning job's."""
        if not sight.state.ended:
            return sight.state, self._ending[1] if self._ending is not None else ""
        if self._ending is not None:
            return self._ending
        if self.run.wish() == "cancel":
            return RunState.CANCELLED, "cancelled by its user"
        reached = limit_reached(self.job, self._tally) or time_reached(self.job, sight.elapsed)
        if reached is not None:
            return reached
        if sight.state is RunState.FAILED:
            return sight.state, sight.reason or "the service gave no reason"
        if sight.state is RunState.CANCELLED:
            return sight.state, sight.reason or "the tuning job was stopped on the service"
        if not self._tally.counts[TrialState.COMPLETED] and not self._tally.counts[TrialState.PRUNED]:
            return RunState.FAILED, f"no trial ended well; see why with: cloudtune trials {self.run.id}"
        return sight.state, sight.reason
