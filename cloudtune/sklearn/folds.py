"""Launchers that run the folds of trials one by one, so that a trial of five folds keeps five workers busy."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.sklearn.evaluating import FOLDER, NUMBER, SPLIT, Evaluation, Metrics, reported_metrics
from cloudtune.space.space import Values
from cloudtune.spec.units import format_duration
from cloudtune.store.records import Report, Trial


@dataclass(slots=True)
class _Candidate:
    """A trial with its folds.

    Attributes:
        trial: the trial.
        waiting: the folds that have not been launched.
        running: the folds that are running.
        found: the metrics of finished folds.
        reported: how many folds, in their order, have been reported.
        failure: the end of the first fold that failed.
        deadline: when the trial must have ended (monotonic clock, seconds).
    """

    trial: Trial
    waiting: deque[int]
    running: set[int] = field(default_factory=set)
    found: dict[int, Metrics] = field(default_factory=dict)
    reported: int = 0
    failure: Ended | None = None
    deadline: float | None = None


class FoldLauncher(Launcher):
    """A launcher that runs each fold as a trial of another launcher, and reports each trial's folds in their order.

    Args:
        crew: the launcher of folds. A fold's number is the trial's number times the number of folds, plus the fold.
        size: the most folds that run at the same time.
        evaluation: the evaluation of candidates.
        folder: the run's folder.
        in_turn: whether the trials take turns in launching folds, so that a stopping rule sees all trials early; else
            the folds of the trial that was launched first come first, so that it ends early.
        limit: the time limit of a trial; None for none.
        on_output: called with the trial and the place of a fold's output, as given by the crew.
    """

    def __init__(
        self,
        crew: Launcher,
        size: int,
        evaluation: Evaluation,
        folder: Path,
        *,
        in_turn: bool,
        limit: timedelta | None,
        on_output: Callable[[Trial, str], None],
    ) -> None:
        self._crew, self._size, self._evaluation, self._folder = crew, size, evaluation, folder
        self._in_turn, self._limit, self._on_output = in_turn, limit, on_output
        self._count = len(evaluation.splits)
        self._busy = 0
        self._candidates: dict[int, _Candidate] = {}
        self._events: deque[Report | Ended] = deque()

    def place(self, trial: Trial) -> str:
        return f"trials/{trial.number:05d}"

    def launch(self, trial: Trial) -> None:
        deadline = None if self._limit is None else time.monotonic() + self._limit.total_seconds()
        self._candidates[trial.number] = _Candidate(trial, deque(range(self._count)), deadline=deadline)
        self._launch_folds()

    def adopt(self, trial: Trial) -> bool:  # noqa: ARG002  # its folds ended with their driver
        return False

    def _launch_folds(self) -> None:
        """Launch waiting folds while fewer than `size` are running."""
        while self._busy < self._size:
            ready = [candidate for candidate in self._candidates.values() if candidate.waiting]
            if not ready:
                return
            candidate = min(ready, key=lambda each: len(each.running)) if self._in_turn else ready[0]
            split = candidate.waiting.popleft()
            candidate.running.add(split)
            self._busy += 1
            trial = candidate.trial
            folder = str(self._folder / self.place(trial) / "output")
            request: Values = {SPLIT: split, FOLDER: folder, NUMBER: trial.number}
            number = trial.number * self._count + split
            self._crew.launch(Trial(number, {**trial.parameters, **request}, attempt=trial.attempt))

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        if not self._events:
            self._stop_late()
            for event in self._crew.poll(timeout):
                number, split = divmod(event.number, self._count)
                candidate = self._candidates[number]
                if isinstance(event, Report):
                    candidate.found[split] = dict(event.metrics)
                    self._report(candidate)
                elif isinstance(event, Ended):
                    self._ended(candidate, split, event)
            self._launch_folds()
        events = list(self._events)
        self._events.clear()
        return events

    def _report(self, candidate: _Candidate) -> None:
        """Report the finished folds whose predecessors have all been reported."""
        while candidate.reported in candidate.found:
            candidate.reported += 1
            folds = [candidate.found[split] for split in range(candidate.reported)]
            metrics = reported_metrics(self._evaluation.objectives, folds)
            trial = candidate.trial
            self._events.append(Report(trial.number, trial.attempt, candidate.reported, time.time(), metrics))

    def _ended(self, candidate: _Candidate, split: int, end: Ended) -> None:
        candidate.running.discard(split)
        self._busy -= 1
        if end.place:
            self._on_output(candidate.trial, end.place)
        if end.failure and candidate.failure is None:
            candidate.failure = end
            self._give_up(candidate)
        self._finish(candidate)

    def _give_up(self, candidate: _Candidate) -> None:
        """Launch no further fold of a candidate, and stop those that are running."""
        candidate.waiting.clear()
        for split in candidate.running:
            self._crew.stop(candidate.trial.number * self._count + split)

    def _finish(self, candidate: _Candidate) -> None:
        if candidate.waiting or candidate.running:
            return
        trial, failure = candidate.trial, candidate.failure
        del self._candidates[trial.number]
        if failure is None:
            self._events.append(Ended(trial.number, trial.attempt))
        else:
            end = Ended(trial.number, trial.attempt, failure.failure, retry=failure.retry, lost=failure.lost)
            self._events.append(end)

    def _stop_late(self) -> None:
        if self._limit is None:
            return
        for number, candidate in list(self._candidates.items()):
            if candidate.failure is None and candidate.deadline is not None and time.monotonic() >= candidate.deadline:
                why = f"it ran longer than {format_duration(self._limit)} (limits.trial_time)"
                candidate.failure = Ended(number, candidate.trial.attempt, why)
                self._give_up(candidate)
                self._finish(candidate)

    def stop(self, number: int) -> None:
        candidate = self._candidates.get(number)
        if candidate is not None:
            if candidate.failure is None:  # else its mean, over some of the folds, would count as all of it
                why = "it was stopped by its driver"
                candidate.failure = Ended(number, candidate.trial.attempt, why, lost=True)
            self._give_up(candidate)
            self._finish(candidate)

    def close(self) -> None:
        self._crew.close()


class InProcess(Launcher):
    """A launcher that runs folds in this process, one in each call of `poll`.

    Args:
        evaluation: the evaluation of candidates.

    Attributes:
        raised: the first exception that a fold raised.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._queue: deque[Trial] = deque()
        self._stopped: deque[Ended] = deque()
        self.raised: Exception | None = None

    def launch(self, trial: Trial) -> None:
        self._queue.append(trial)

    def adopt(self, trial: Trial) -> bool:  # noqa: ARG002  # it ended with the process
        return False

    def poll(self, timeout: float) -> Sequence[Report | Ended]:  # noqa: ARG002  # never waits
        events: list[Report | Ended] = list(self._stopped)
        self._stopped.clear()
        if self._queue:
            events += self._run(self._queue.popleft())
        return events

    def _run(self, trial: Trial) -> list[Report | Ended]:
        try:
            with _interruptible():
                metrics = self._evaluation(**trial.parameters)
        except Exception as error:  # noqa: BLE001  # raised by the search at its end
            self.raised = self.raised or error
            failure = f"{type(error).__name__}: {error}"
            return [Ended(trial.number, trial.attempt, failure)]
        assert metrics is not None
        report = Report(trial.number, trial.attempt, 1, time.time(), metrics)
        return [report, Ended(trial.number, trial.attempt)]

    def stop(self, number: int) -> None:
        for trial in self._queue:
            if trial.number == number:
                self._queue.remove(trial)
                self._stopped.append(Ended(number, trial.attempt, "it was stopped before it began"))
                return

    def close(self) -> None:
        self._queue.clear()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt a fold in this process at once, by the default handler, within the context."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
