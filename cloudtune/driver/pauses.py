"""The paused trials of a driven run: they wait at a rung of their stopping rule, and the best go on from their checkpoints."""

import time
from collections.abc import Iterator

from cloudtune.driver.decisions import PAUSED, PRUNED
from cloudtune.search import Search
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune.store.unit_of_work import UnitOfWork

_WAITS = "; it goes on if it is one of the best"
_LEFT = "; the run ended before it was one of the best"

_WHAT_TO_DO = "write to trial.checkpoint_dir() before each report, begin with what is there, and report step=…"

_RESTARTED = (
    "its steps begin at {} again after a pause: it does not go on from its checkpoint, so that each pause costs what it should "
    f"save; {_WHAT_TO_DO}"
)

_NOT_INHERITED = (
    "its steps begin at {} again, where it should go on from the checkpoint of trial {}, which had come to step {}: so a population "
    f"learns nothing from its best members; {_WHAT_TO_DO}"
)


class Pauses:
    """Holds the paused trials, and notices programs that make nothing of their checkpoints.

    Args:
        job: the spec.
        search: of the run.
        work: takes the trials that change.
    """

    def __init__(self, job: TuningJob, search: Search, work: UnitOfWork) -> None:
        self._search, self._work = search, work
        self._rule = job.strategy.type if job.stopping is None else job.stopping.type
        self._trials: dict[int, Trial] = {}
        self._steps: dict[int, tuple[int, int]] = {}  # the first and the highest of each trial
        self._told = False

    def __len__(self) -> int:
        return len(self._trials)

    def put_aside(self, step: int) -> tuple[TrialState, str]:
        """Return the state in which the rule stops a trial that has reported a step, and why."""
        if self._search.pauses:
            return TrialState.PAUSED, f"{PAUSED}{step} by the {self._rule} rule{_WAITS}"
        return TrialState.PRUNED, f"{PRUNED}{step} by the {self._rule} rule"

    def add(self, trial: Trial, why: str) -> None:
        """Pause a trial whose attempt has ended."""
        trial.state, trial.reason, trial.ended = TrialState.PAUSED, why, time.time()
        self._work.trial(trial)
        self.restore(trial)

    def restore(self, trial: Trial) -> None:
        """Take over a trial that is paused in the store."""
        self._trials[trial.number] = trial
        self._search.tell(trial.number, trial.metrics, state=TrialState.PAUSED)

    def take(self, number: int) -> Trial:
        """Return a trial that goes on."""
        return self._trials.pop(number)

    def end(self, ending: tuple[RunState, str] | None) -> Iterator[Trial]:
        """End the trials that are left at the end of the run, and yield them: the rule has put them aside.

        Args:
            ending: the state of the run and the reason, where it ends before its last trial; cancelled trials of a
                cancelled run are no judgement of the rule.
        """
        while self._trials:
            _, trial = self._trials.popitem()
            trial.state, trial.reason = TrialState.PRUNED, trial.reason.removesuffix(_WAITS) + _LEFT
            if ending is not None and ending[0] is RunState.CANCELLED:
                trial.state, trial.reason = TrialState.CANCELLED, ending[1]
            self._work.trial(trial)
            yield trial

    def restarted(self, trial: Trial, report: Report) -> str:
        """Take in a report; return a message where its trial begins anew in the place of going on, once a run, else "".

        It goes on from its own checkpoint after a pause, and from its parent's where it has one.
        """
        if not self._search.pauses:
            return ""
        inherited = None if trial.parent is None else self._steps.get(trial.parent)
        if inherited is not None and report.number not in self._steps and not self._told:
            first, highest = inherited
            if report.step <= first < highest:
                self._told = True
                self._steps[report.number] = report.step, report.step
                return _NOT_INHERITED.format(report.step, trial.parent, highest)
        first, highest = self._steps.get(report.number, (report.step, report.step))
        self._steps[report.number] = first, max(highest, report.step)
        if self._told or report.attempt == 1 or report.step > first or highest <= first:
            return ""
        self._told = True
        return _RESTARTED.format(report.step)
