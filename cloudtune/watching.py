"""Watching a run that another process drives, through the store."""

import json

from cloudtune.job import TuningJob
from cloudtune.outcome import losses
from cloudtune.provider import Progress
from cloudtune.states import Trial, TrialState
from cloudtune.store import RunStore
from cloudtune.tally import Tally


class Watch:
    """Keeps count of a run from what changed in the store since the last look, however many trials there are."""

    def __init__(self, run: RunStore) -> None:
        job = TuningJob.from_data(json.loads(run.record().job))
        self._run = run
        self._objective = job.objective
        self._total = job.limits.trials
        self._tally = Tally(job.objective)
        self._running: dict[int, Trial] = {}
        self._revision = 0

    def progress(self) -> Progress:
        """How far the run is now."""
        record = self._run.record()
        self._revision, changed = self._run.changes(self._revision)
        for trial in changed:
            self._running.pop(trial.number, None)
            if trial.state is TrialState.RUNNING:
                self._running[trial.number] = trial
            elif trial.state.ended:
                self._tally.add(trial, losses(self._objective, trial.metrics))
        counts = {state.value: count for state, count in self._tally.counts.items() if count}
        counts |= {TrialState.RUNNING.value: len(self._running)} if self._running else {}
        done = sum(self._tally.counts.values())
        return Progress(
            state=record.state,
            counts=counts,
            total=self._total,
            best=self._tally.best,
            elapsed=record.elapsed,
            eta=record.elapsed / done * (self._total - done) if done and self._total else None,
            running=tuple(self._running.values()),
        )
