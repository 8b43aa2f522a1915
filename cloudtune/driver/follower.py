"""Watching a run: one that another process drives, through the store; and whatever is told of progress, which may break."""

import contextlib
import json
from collections.abc import Iterator

from cloudtune.errors import StoreError, in_one_line
from cloudtune.results.objectives import losses
from cloudtune.results.progress import Progress, ProgressCounter, Watcher
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial, TrialState
from cloudtune.store.store import RunStore


class GuardedWatcher:
    """A watcher whose failure ends nothing but its own watching: it is dropped, and one event tells so.

    KeyboardInterrupt and SystemExit are no failures but the wish to end: they pass, and interrupt what is watched.

    Args:
        run: whose events tell that the watcher was dropped.
        watcher: a user's, or a display.

    Attributes:
        failure: what the watcher raised; None while it has raised nothing.
    """

    def __init__(self, run: RunStore, watcher: Watcher) -> None:
        self._run = run
        self._watcher = watcher
        self.failure: Exception | None = None

    def __call__(self, progress: Progress) -> None:
        """Tell the watcher how far the run is, unless it was dropped."""
        if self.failure is not None:
            return
        try:
            self._watcher(progress)
        except Exception as error:  # noqa: BLE001  # whatever a watcher raises is none of the run's business
            self.failure = error
            with contextlib.suppress(StoreError):  # where even that cannot be written, the driver will tell
                self._run.write(events=[(None, dropped("its watcher", error))])


def dropped(what: str, error: Exception) -> str:
    """Say that something which showed the run has failed."""
    return f"{what} was dropped ({in_one_line(error)}); the run goes on without it"


@contextlib.contextmanager
def watched_by(run: RunStore, watcher: Watcher | None) -> Iterator[Watcher | None]:
    """Give a watcher that cannot break what it watches; what it raised is raised when the context has ended well.

    The exception is the watcher's own, so that its author finds it; a note says how the run is, which is in the store.
    """
    if watcher is None:
        yield None
        return
    onlooker = GuardedWatcher(run, watcher)
    yield onlooker
    if onlooker.failure is not None:
        state = run.record().state.value
        onlooker.failure.add_note(
            f"raised by the watcher of run {run.id}, which was dropped for it; the run went on and is {state}: "
            f"cloudtune.attach({run.id!r})"
        )
        raise onlooker.failure


class RunFollower:
    """Keeps count of a run from what changed in the store since the last look, however many trials there are."""

    def __init__(self, run: RunStore) -> None:
        job = TuningJob.from_data(json.loads(run.record().job))
        self._run = run
        self._objective = job.objective
        self._total = job.limits.trials
        self._tally = ProgressCounter(job.objective)
        self._running: dict[int, Trial] = {}
        self._revision = 0
        self._told = run.last_event()

    def progress(self) -> Progress:
        """How far the run is now."""
        record = self._run.record()
        self._told, events = self._run.events_after(self._told)
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
            message="\n".join(
                message if number is None else f"trial {number}: {message}" for _, number, message in events
            ),
        )
