"""Follow a run that another process drives, through the store; and guard a run against its watcher's exceptions."""

import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal

from cloudtune.driver.confirming import expected
from cloudtune.errors import StoreError, in_one_line
from cloudtune.planning.plan import Plan
from cloudtune.results.objectives import losses
from cloudtune.results.progress import Progress, ProgressCounter, Watcher
from cloudtune.spec.job import TuningJob
from cloudtune.spec.money import cost_text
from cloudtune.store.records import Trial, TrialState
from cloudtune.store.store import RunStore


class GuardedWatcher:
    """A watcher whose exception ends only its own watching: it is dropped, and an event of the run says so.

    KeyboardInterrupt and SystemExit pass, and interrupt the run.

    Args:
        run: gets the event.
        watcher: a user's, or a display.

    Attributes:
        failure: the exception that the watcher raised; None as long as it has raised none.
    """

    def __init__(self, run: RunStore, watcher: Watcher) -> None:
        self._run = run
        self._watcher = watcher
        self.failure: Exception | None = None

    def __call__(self, progress: Progress) -> None:
        """Call the watcher, unless it was dropped."""
        if self.failure is not None:
            return
        try:
            self._watcher(progress)
        except Exception as error:  # noqa: BLE001  # whatever a watcher raises does not concern the run
            self.failure = error
            with contextlib.suppress(StoreError):  # if even that cannot be written, the driver will raise it
                self._run.write(events=[(None, dropped("its watcher", error))])


def dropped(what: str, error: Exception) -> str:
    """Return the message that a watcher or publisher of the run has failed."""
    return f"{what} was dropped ({in_one_line(error)}); the run goes on without it"


@contextlib.contextmanager
def watched_by(run: RunStore, watcher: Watcher | None) -> Iterator[Watcher | None]:
    """Yield a guarded watcher, and raise its exception after the context has ended without one.

    The exception is the watcher's own, for its author; a note adds the state of the run, whose results are in the
    store.
    """
    if watcher is None:
        yield None
        return
    guarded = GuardedWatcher(run, watcher)
    yield guarded
    if guarded.failure is not None:
        state = run.record().state.value
        guarded.failure.add_note(
            f"raised by the watcher of run {run.id}, which was dropped for it; the run went on and is {state}: "
            f"cloudtune.attach({run.id!r})"
        )
        raise guarded.failure


class RunFollower:
    """Counts a run's trials by what changed in the store since the last call, however many trials there are."""

    def __init__(self, run: RunStore) -> None:
        job = TuningJob.from_data(json.loads(run.record().job))
        self._run = run
        self._objective = job.objective
        self._job = job
        self._repetitions: dict[int, bool] = {}
        self._counter = ProgressCounter(job.objective, job.constraints)
        self._launched: dict[int, Trial] = {}
        self._paused: set[int] = set()
        self._costs: dict[int, Decimal] = {}
        self._limit = None if job.limits.cost is None else job.limits.cost.amount
        self._rates = Plan.from_data(json.loads(run.record().plan)).rates
        self._revision = 0
        self._last_event = run.last_event()

    def progress(self) -> Progress:
        """Return the run's progress."""
        record = self._run.record()
        self._last_event, events = self._run.events_after(self._last_event)
        self._revision, changed = self._run.changes(self._revision)
        for trial in changed:
            self._launched.pop(trial.number, None)
            self._paused.discard(trial.number)
            self._costs[trial.number] = trial.cost or Decimal(0)
            if trial.repeat_of is not None:
                self._repetitions[trial.number] = trial.state.ended
            if trial.launched:
                self._launched[trial.number] = trial
            elif trial.state is TrialState.PAUSED:
                self._paused.add(trial.number)
            elif trial.state.ended:
                self._counter.add(trial, losses(self._objective, trial.metrics))
        return self._counter.snapshot(
            record.state,
            launched=tuple(self._launched.values()),
            paused=len(self._paused),
            total=self._total(over=record.state.ended),
            elapsed=record.elapsed,
            message="\n".join(
                message if number is None else f"trial {number}: {message}" for _, number, message in events
            ),
            cost=self._cost_text(),
        )

    def _total(self, *, over: bool) -> int | None:
        started = len(self._costs)
        return (
            started
            if over and self._repetitions
            else expected(self._job, self._job.search_trials, started, self._repetitions)
        )

    def _cost_text(self) -> str:
        if not self._rates:
            return ""
        return cost_text(sum(self._costs.values(), Decimal(0)), self._limit, self._rates[0].currency)
