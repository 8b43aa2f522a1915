"""A run on a service that is one tuning job of the service's own tuner."""

import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

from cloudtune.costs.spending import Spending
from cloudtune.costs.warning import warner
from cloudtune.driver import process as driver_process
from cloudtune.driver.follower import RunFollower
from cloudtune.driver.interrupt import Condition, interruptible, pause
from cloudtune.driver.limits import failing_alike, limit_reached, time_reached
from cloudtune.driver.listeners import ends_with_this_process, gone
from cloudtune.driver.outages import OutageTolerance
from cloudtune.driver.outputs import RunBrief, TrialOutputs
from cloudtune.driver.snapshots import JobSnapshot, TrialSnapshot
from cloudtune.driver.verdict import NO_REASON, verdict
from cloudtune.errors import ProviderError, RunBusy
from cloudtune.planning.plan import Plan, Support
from cloudtune.provider.service import Service
from cloudtune.provider.service_run import ServiceRun
from cloudtune.results.constraints import what_is_untold
from cloudtune.results.objectives import losses, what_is_missing
from cloudtune.results.printed_metrics import last_lines
from cloudtune.results.progress import ProgressCounter, Watcher, keep_counting_values
from cloudtune.store.records import CREATING, RunState, Trial, TrialState
from cloudtune.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

_REFRESH_INTERVAL = 1.0
"""Least seconds between two polls by `ManagedRun.refresh`."""


class Tuner(TrialOutputs):
    """The client of one tuning job of a service's own tuner. It makes no decisions, and writes nothing to the store.

    Between two polls it may keep the positions up to which it has read, and nothing else.

    Args:
        brief: the run's job and plan.
        name: the service's name of the tuning job; "" if the service chooses it, before the job is made.
    """

    lag: ClassVar[int] = 0
    """Number of polls for which metrics of a completed trial may arrive late."""

    def __init__(self, brief: RunBrief, name: str) -> None:
        self.brief = brief
        self.name = name

    @abstractmethod
    def create(self, *, again: bool) -> str:
        """Create the run's tuning job and return its name.

        Args:
            again: whether an earlier call, whose answer was lost, may have made the job; then return that one's name.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    def restore(self, trials: Sequence[Trial]) -> None:  # most services number their trials
        """Take in the trials that the store has, with their numbers and places; called once, before the first poll."""

    @abstractmethod
    def poll(self, done: Collection[int]) -> JobSnapshot:
        """Poll the service about the job called `name`, by a number of calls that does not grow with its trials.

        While the job runs, snapshots may be late, and of some trials only; the snapshot of an ended job is complete.
        Return a trial as ended only when all its reports have been read. After an error, return with the next call what
        had been read before.

        Args:
            done: numbers of the trials that an earlier snapshot showed as ended; leave them out.

        Raises:
            ProviderError: the service cannot be reached, or refuses. A job that was deleted is CANCELLED instead.
        """

    @abstractmethod
    def stop(self) -> None:
        """Ask the job called `name` to end; do nothing if it has ended, or was never made.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    def settle(self) -> None:  # most services keep what belongs to a job
        """Remove what an ended run no longer needs at the service; called once, and not if its emulator has ended.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """


@dataclass(slots=True)
class _Known:
    """A trial as it is in the store.

    Attributes:
        trial: the trial.
        reported: the last value of each metric.
        waited: the polls since it completed without an objective.
        waiting: what it waits for, as was told last; "" for nothing.
    """

    trial: Trial
    reported: dict[str, float] = field(default_factory=dict)
    waited: int = 0
    waiting: str = ""


class ManagedRun(ServiceRun):
    """A run whose trials a service's own tuner suggests and runs; limits that the service lacks are enforced here.

    Args:
        service: of the run.
        run: the run.
        tuner: returns the tuner of this run; called when it is first needed.
        job: the spec.
        plan: whose notes say which limits are enforced here.
    """

    def __init__(
        self, service: Service, run: "RunStore", tuner: Callable[[], Tuner], job: "TuningJob", plan: Plan
    ) -> None:
        super().__init__(service, run)
        self._make = tuner
        self._job = job
        self._watched = {note.path for note in plan.notes if note.support is Support.WATCHED}
        self._work = UnitOfWork(run)
        self._counter = ProgressCounter(job.objective, job.constraints)
        self._spending = Spending(job, plan.machines, plan.rates, warn=warner(run, job))
        self._known: dict[int, _Known] = {}
        self._restored = False
        self._done: set[int] = set()
        self._ending: tuple[RunState, str] | None = None
        self._refreshed = 0.0

    @cached_property
    def tuner(self) -> Tuner:
        """The service's tuner of this run."""
        return self._make()

    @property
    def outputs(self) -> Tuner:
        return self.tuner

    # Starting, following and ending

    def start(self) -> None:
        record = self.run.record()
        if record.state not in (RunState.WAITING, RunState.INTERRUPTED) or "job" in record.native:
            return
        self.service.reach(self.run)
        native = record.native
        self.run.write(columns={"native": {**native, CREATING: "yes"}})
        name = self.tuner.name = self.tuner.create(again=CREATING in native)
        self.run.write(
            columns={
                "native": {**{key: text for key, text in native.items() if key != CREATING}, "job": name},
                "state": RunState.RUNNING.value,
                "reason": "",
                "started": time.time(),
            },
            events=[(None, f"it is the tuning job {name}")],
        )

    def follow(self, watcher: Watcher | None = None) -> RunState:
        self.start()
        while not (state := self.run.record().state).ended:
            try:
                with self.run.locked(), interruptible() as interrupt:
                    return self._follow(watcher, lambda: interrupt.level > 0)
            except RunBusy:
                driver_process.watch(self.run, watcher)
        return state

    def _follow(self, watcher: Watcher | None, leave: Condition) -> RunState:
        self._reach()
        seen, tolerance = RunFollower(self.run), OutageTolerance()
        state = RunState.RUNNING
        while True:
            with tolerance.tolerated():
                state = self.look()
            if watcher is not None:
                watcher(seen.progress())
            if state.ended:
                self.settle()
                return state
            if pause(self.service.poll, leave):
                if ends_with_this_process(self.run.record()):
                    return self._interrupt()
                why = f"it goes on at {self.service.service} as {self.tuner.name}; `cloudtune resume {self.run.id}` follows it again"
                self.run.write(columns={"reason": why})
                return RunState.INTERRUPTED

    def settle(self) -> None:
        super().settle()
        if gone(self.run.record()):
            return
        try:
            self.tuner.settle()
        except ProviderError as error:
            self.run.write(events=[(None, str(error))])

    def _interrupt(self) -> RunState:
        """Interrupt a run whose emulator is about to end with this process, and save what the emulator has of it."""
        self.look()
        self.keep()
        anew = f"`cloudtune resume {self.run.id}` begins it anew in another, without its trials so far"
        reason = f"its emulator ended with the command that started it, and the tuning job with it; {anew}"
        columns = {"state": RunState.INTERRUPTED.value, "reason": reason}
        self.run.write(columns=columns, events=[(None, f"interrupted: {reason}")])
        return RunState.INTERRUPTED

    def refresh(self) -> None:
        record = self.run.record()
        looked = time.monotonic() - self._refreshed < min(_REFRESH_INTERVAL, self.service.poll)
        if looked or record.state.ended or "job" not in record.native:
            return
        try:
            with self.run.locked():
                self._reach()
                if self.look().ended:
                    self.settle()
                self._refreshed = time.monotonic()
        except RunBusy:
            return  # another process follows it, and keeps the store up to date

    def cancel(self) -> None:
        self.run.write(columns={"wish": "cancel"})
        record = self.run.record()
        there = not gone(record)
        if there and record.native.keys() & {"job", CREATING}:
            self._reach()
            if self.tuner.name:  # also a job made by a process that was killed before the answer came
                self.tuner.stop()
        if not there or "job" not in record.native:
            driver_process.end_cancelled(self.run)

    def _reach(self) -> None:
        """Check that the service can be called about the run, and set the job's name, which another process may have written."""
        self.service.reach(self.run)
        self.tuner.name = self.run.record().native.get("job", self.tuner.name)

    # One poll

    def look(self) -> RunState:
        """Poll the tuner once, write the news to the store, and return the run's state; the caller holds the run's lock."""
        if not self._restored:
            self._restore()
        seen = self.tuner.poll(self._done)
        why_ended = self._why_ended()
        ended = [each for each in seen.trials if self._record(each, over=seen.state.ended)]
        for each in sorted(ended, key=lambda one: (one.ended or time.time(), one.number)):
            self._end(self._known[each.number], each, why_ended)
        if seen.state.ended:
            self._end_the_rest(seen, why_ended)
        else:
            self._enforce(seen)
        return self._write(seen)

    def _restore(self) -> None:
        """Restore the trials of the store; drop the reports of those that have not ended, to read them again."""
        self._spending.restore(history := self.run.history())
        self.tuner.restore(history)
        for trial in history:
            self._known[trial.number] = _Known(trial)
            if trial.state.ended:
                self._count(trial)  # its failure was an event already
                self._done.add(trial.number)
            else:
                self.run.forget_reports(trial.number, trial.attempt)
                trial.metrics = {}
                self._spending.start(trial, partial(_billed, trial))
        self._restored = True

    def _record(self, seen: TrialSnapshot, *, over: bool) -> bool:
        """Record the news of a trial; return whether it has ended."""
        if seen.number in self._done:
            return False
        if seen.number not in self._known:
            trial = Trial(seen.number, seen.parameters, TrialState.RUNNING, attempt=1)
            self._known[seen.number] = _Known(trial)
            self._spending.start(trial, partial(_billed, trial))
        one = self._known[seen.number]
        trial, started = one.trial, seen.started or one.trial.started
        if seen.reports or (trial.place, trial.started) != (seen.place, started):
            trial.place, trial.started = seen.place, started
            self._work.trial(trial)
        if seen.waiting not in ("", one.waiting):
            self._work.event(trial.number, f"waits for {seen.waiting}")
        one.waiting = seen.waiting
        for report in seen.reports:
            self._work.report(report)
            one.reported.update(report.metrics)
            keep_counting_values(self._job.objective, trial.metrics, report.metrics)
        if (
            seen.state is TrialState.COMPLETED
            and not over
            and one.waited < self.tuner.lag
            and not self._measured(trial)
        ):
            one.waited += 1
            return False
        return seen.state.ended

    def _end(self, one: _Known, seen: TrialSnapshot, why_ended: str | None) -> None:
        trial = one.trial
        trial.metrics.update(seen.metrics)
        trial.ended = seen.ended or time.time()
        trial.started = trial.started or trial.ended
        self._spending.end(trial, trial.ended - trial.started if seen.billed is None else seen.billed)
        trial.state, trial.reason = verdict(
            seen,
            self._job,
            measured=self._measured(trial),
            missing=lambda: what_is_missing(
                self._job.objective, {**trial.metrics, **one.reported}, last_lines(self.printed(trial))
            ),
            untold=what_is_untold(self._job.constraints, trial.metrics),
            job_ended=why_ended,
        )
        self._done.add(trial.number)
        self._work.trial(trial)
        if self._count(trial):
            self._work.event(trial.number, f"failed: {trial.reason}")

    def _end_the_rest(self, seen: JobSnapshot, why_ended: str | None) -> None:
        """End the trials that the service did not end with the job."""
        snapshots = {each.number: each for each in seen.trials}
        for number in sorted(self._known.keys() - self._done):
            one = self._known[number]
            self._end(one, snapshots.get(number, TrialSnapshot(number, one.trial.place)), why_ended)

    def _measured(self, trial: Trial) -> bool:
        return losses(self._job.objective, trial.metrics) is not None

    def _count(self, trial: Trial) -> bool:
        """Count an ended trial; return whether it failed with a new message."""
        values = losses(self._job.objective, trial.metrics) if trial.state is not TrialState.FAILED else None
        return self._counter.add(trial, values)

    def _why_ended(self) -> str | None:
        """Return why the job was asked to end; None if it was not."""
        if self._ending is not None:
            return self._ending[1]
        return "cancelled by its user" if self.run.wish() == "cancel" else None

    def _enforce(self, seen: JobSnapshot) -> None:
        """Stop a running tuning job when a limit is reached that the service does not have."""
        if seen.state is not RunState.RUNNING:
            return
        if self._ending is None:
            self._ending = self._limit_reached(seen)
            if self._ending is not None:
                self._work.event(None, self._ending[1])
        if self._ending is not None:
            self.tuner.stop()

    def _limit_reached(self, seen: JobSnapshot) -> tuple[RunState, str] | None:
        reached = time_reached(self._job, seen.elapsed) if "limits.time" in self._watched else None
        if self._watched & {"limits.failed", "limits.no_improvement", "limits.target"}:
            reached = reached or limit_reached(self._job, self._counter)
        spent = self._spending.exhausted(idle=False, ahead=self.service.poll)
        reached = reached or (None if spent is None else (RunState.COMPLETED, spent))
        return reached or failing_alike(self._job, self._counter)

    # The run as a whole

    def _write(self, seen: JobSnapshot) -> RunState:
        """Write all news and the run's state to the store; return the state."""
        state, reason = self._outcome(seen)
        columns: dict[str, object] = {
            "state": state.value,
            "reason": reason,
            "elapsed": seen.elapsed,
            "seen": time.time(),
        }
        if seen.created is not None:
            columns["started"] = seen.created
        if state.ended:
            columns["ended"] = time.time()
            for repeated in self._counter.failures.repeated():
                self._work.event(None, repeated)
            self._work.event(None, f"{state.value}: {reason}" if reason else state.value)
        self._work.write(columns)
        return state

    def _outcome(self, seen: JobSnapshot) -> tuple[RunState, str]:
        """Return the run's state and why, from the tuning job's."""
        if not seen.state.ended:
            return seen.state, self._ending[1] if self._ending is not None else ""
        if self._ending is not None:
            return self._ending
        if self.run.wish() == "cancel":
            return RunState.CANCELLED, "cancelled by its user"
        reached = limit_reached(self._job, self._counter) or time_reached(self._job, seen.elapsed)
        if reached is not None:
            return reached
        if seen.state is RunState.FAILED:
            return seen.state, seen.reason or NO_REASON
        if seen.state is RunState.CANCELLED:
            spent = self._spending.exhausted(
                idle=True
            )  # for which an earlier process may have asked the service to stop it
            why = seen.reason or "the tuning job was stopped on the service"
            return (RunState.CANCELLED, why) if spent is None else (RunState.COMPLETED, spent)
        if not self._counter.counts[TrialState.COMPLETED] and not self._counter.counts[TrialState.PRUNED]:
            return RunState.FAILED, f"no trial ended well; see why with: cloudtune trials {self.run.id}"
        return seen.state, seen.reason


def _billed(trial: Trial) -> float:
    """Return the seconds that are billed so far for each machine of a running trial."""
    return 0.0 if trial.started is None else max(time.time() - trial.started, 0.0)
