"""Trials whose folds run one by one, each wherever there is room: a trial of five folds keeps five workers busy."""

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
from cloudtune.sklearn.evaluating import FOLDER, NUMBER, SPLIT, Evaluation, Metrics, told
from cloudtune.space.space import Values
from cloudtune.spec.units import format_duration
from cloudtune.store.records import Report, Trial


@dataclass(slots=True)
class _Candidate:
    """A trial and its folds."""

    trial: Trial
    waiting: deque[int]
    running: set[int] = field(default_factory=set)
    found: dict[int, Metrics] = field(default_factory=dict)
    told: int = 0
    failure: Ended | None = None
    deadline: float | None = None


class FoldLauncher(Launcher):
    """Has the folds of trials run as trials of their own, and tells of each trial fold by fold, in their order.

    Args:
        crew: runs the folds. Their numbers are the trial's number times the number of folds, plus the fold's.
        size: how many folds run at the same time.
        evaluation: what is run.
        folder: of the run.
        in_turn: whether the trials' folds take turns, so that a stopping rule sees all trials early; else the trial
            that was launched first comes first, which has it end early.
        limit: how long a trial may take; None for as long as it likes.
        heard: is told where the crew keeps what a fold printed.
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
        heard: Callable[[Trial, str], None],
    ) -> None:
        self._crew, self._size, self._evaluation, self._folder = crew, size, evaluation, folder
        self._in_turn, self._limit, self._heard = in_turn, limit, heard
        self._count = len(evaluation.splits)
        self._busy = 0
        self._candidates: dict[int, _Candidate] = {}
        self._happened: deque[Report | Ended] = deque()

    def place(self, trial: Trial) -> str:
        return f"trials/{trial.number:05d}"

    def launch(self, trial: Trial) -> None:
        deadline = None if self._limit is None else time.monotonic() + self._limit.total_seconds()
        self._candidates[trial.number] = _Candidate(trial, deque(range(self._count)), deadline=deadline)
        self._send()

    def adopt(self, trial: Trial) -> bool:  # noqa: ARG002  # its folds died with their driver
        return False

    def _send(self) -> None:
        """Gives folds to whoever is free."""
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
            asked: Values = {SPLIT: split, FOLDER: folder, NUMBER: trial.number}
            number = trial.number * self._count + split
            self._crew.launch(Trial(number, {**trial.parameters, **asked}, attempt=trial.attempt))

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        if not self._happened:
            self._stop_late()
            for happening in self._crew.poll(timeout):
                number, split = divmod(happening.number, self._count)
                candidate = self._candidates[number]
                if isinstance(happening, Report):
                    candidate.found[split] = dict(happening.metrics)
                    self._tell(candidate)
                elif isinstance(happening, Ended):
                    self._ended(candidate, split, happening)
            self._send()
        happened = list(self._happened)
        self._happened.clear()
        return happened

    def _tell(self, candidate: _Candidate) -> None:
        """Reports the folds whose predecessors all are reported."""
        while candidate.told in candidate.found:
            candidate.told += 1
            folds = [candidate.found[split] for split in range(candidate.told)]
            metrics = told(self._evaluation.objectives, folds)
            trial = candidate.trial
            self._happened.append(Report(trial.number, trial.attempt, candidate.told, time.time(), metrics))

    def _ended(self, candidate: _Candidate, split: int, end: Ended) -> None:
        candidate.running.discard(split)
        self._busy -= 1
        if end.place:
            self._heard(candidate.trial, end.place)
        if end.failure and candidate.failure is None:
            candidate.failure = end
            self._give_up(candidate)
        self._finish(candidate)

    def _give_up(self, candidate: _Candidate) -> None:
        """Lets no further fold of a candidate begin, and ends those that run."""
        candidate.waiting.clear()
        for split in candidate.running:
            self._crew.stop(candidate.trial.number * self._count + split)

    def _finish(self, candidate: _Candidate) -> None:
        if candidate.waiting or candidate.running:
            return
        trial, failure = candidate.trial, candidate.failure
        del self._candidates[trial.number]
        if failure is None:
            self._happened.append(Ended(trial.number, trial.attempt))
        else:
            end = Ended(trial.number, trial.attempt, failure.failure, retry=failure.retry, lost=failure.lost)
            self._happened.append(end)

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
            self._give_up(candidate)
            self._finish(candidate)

    def close(self) -> None:
        self._crew.close()


class InProcess(Launcher):
    """Runs one fold after the other in this very process, each when it is asked what happened.

    Args:
        evaluation: what is run.

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

    def adopt(self, trial: Trial) -> bool:  # noqa: ARG002  # it died with the process
        return False

    def poll(self, timeout: float) -> Sequence[Report | Ended]:  # noqa: ARG002  # there always is something to do
        happened: list[Report | Ended] = list(self._stopped)
        self._stopped.clear()
        if self._queue:
            happened += self._run(self._queue.popleft())
        return happened

    def _run(self, trial: Trial) -> list[Report | Ended]:
        try:
            with _at_once():
                metrics = self._evaluation(**trial.parameters)
        except Exception as error:  # noqa: BLE001  # kept for whoever asked for the search
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
def _at_once() -> Iterator[None]:
    """Lets Ctrl-C end a fold of this process at once, as it ends any other computation of a notebook."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
