"""Runs in a real store, whose trials a test moves on as a driver would, for what publishes them."""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from cloudtune.planning.plan import Ledger
from cloudtune.provider.interface import Provider
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Charge, Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import Store

START = 1_700_000_000.0
SPACE: dict[str, Any] = {
    "lr": {"type": "float", "low": 1e-4, "high": 1, "scale": "log"},
    "size": {"type": "ordinal", "values": [16, 32, 64]},
    "kernel": {"type": "categorical", "values": ["rbf", "poly", None]},
    "degree": {"type": "int", "low": 2, "high": 5, "when": {"kernel": "poly"}},
}


class _Still:
    """A provider that has nothing to tell."""

    def refresh(self, store: object) -> None:
        """Knows of no changes."""


class StagedRun(Run):
    """A run that does what the test says.

    Args:
        folder: of the project.
        changes: fields of the job that are others than usual.
    """

    def __init__(self, folder: Path, name: str = "digits-1a2b", **changes: Any) -> None:
        job = TuningJob.from_data(
            {
                "name": "digits",
                "trial": {"command": "python train.py", "environment": {"TOKEN": "***"}},
                "objective": {"metric": "accuracy", "goal": "maximize"},
                "space": SPACE,
                "strategy": {"type": "bayesian", "seed": 7},
                "limits": {"trials": 40, "parallel": 4},
                **changes,
            }
        )
        plan = Ledger("local").close(job, "driven", {})
        record = RunRecord(
            name, job.name, "local", "laptop", json.dumps(job.to_data()), json.dumps(plan.to_data()),
            RunState.RUNNING, "", START - 1, START,
        )  # fmt: skip
        super().__init__(Store(folder).create(record), cast("Provider", _Still()))
        self._driver = ExitStack()
        self._driver.enter_context(self._store.locked())  # a run that nobody drives is interrupted

    def tell(self, *trials: Trial, reports: Iterable[Report] = ()) -> None:
        """Writes what a driver would."""
        self._store.write(trials=trials, reports=reports)

    def end(self, state: RunState = RunState.COMPLETED, reason: str = "") -> None:
        """Ends the run, or interrupts it."""
        self._driver.close()
        ended = START + 600 if state.ended else None
        self._store.write(columns={"state": state.value, "reason": reason, "ended": ended})


def trial(number: int, state: TrialState = TrialState.COMPLETED, **changes: Any) -> Trial:
    """A trial that began so many times ten seconds after the run, and took five."""
    began = START + 10 * number
    parameters = {"lr": 0.01 * (number + 1), "size": 32, "kernel": "poly", "degree": 3}
    metrics = {"accuracy": 0.5 + number / 100, "loss": 1.0} if state is TrialState.COMPLETED else {}
    usual = {
        "parameters": parameters, "metrics": metrics, "attempt": 1, "started": began, "place": f"trials/{number:05d}",
        "ended": began + 5 if state.ended else None,
    }  # fmt: skip
    if state is TrialState.WAITING and "attempt" not in changes:
        usual |= {"attempt": 0, "started": None}
    return Trial(number=number, state=state, **{**usual, **changes})


def report(number: int, step: int, attempt: int = 1, **metrics: float) -> Report:
    """What a trial reported at a step, a second a step after it began."""
    return Report(number, attempt, step, START + 10 * number + step, metrics)


def finished_run(folder: Path, name: str = "digits-1a2b", **changes: Any) -> StagedRun:
    """An ended run with a trial in each state in which it can end: 2 is best, 3 pruned, 4 failed, 5 never started."""
    run = StagedRun(folder, name, **changes)
    pruned = {"accuracy": 0.3, "loss": 2.0}
    run.tell(
        trial(0, parameters={"lr": 0.5, "size": 16, "kernel": None}),
        trial(1),
        trial(2, metrics={"accuracy": 0.9, "loss": 0.25}),
        trial(3, TrialState.PRUNED, metrics=pruned, reason="pruned at step 2 by the median rule"),
        trial(4, TrialState.FAILED, reason="exit code 3"),
        trial(5, TrialState.CANCELLED, attempt=0, started=None, reason="the target is reached"),
        reports=[
            *(report(2, step, accuracy=0.3 * step, loss=1 / (1 + step)) for step in (1, 2, 3)),
            *(report(3, step, accuracy=0.2 + 0.05 * step, loss=float(step)) for step in (1, 2)),
        ],
    )
    run.end()
    return run


def charged_run(folder: Path) -> StagedRun:
    """An ended run with a budget: trial 0 was tried twice, 1 was charged in vain, 2 was not charged at all."""
    run = StagedRun(folder, limits={"trials": 40, "cost": "EUR 5"})
    twice = tuple(Charge(attempt, "m", 1, 5.0, Decimal("0.25"), "EUR") for attempt in (1, 2))
    failed = trial(1, TrialState.FAILED, reason="exit code 3", charges=(Charge(1, "m", 1, 5.0, Decimal(0), "EUR"),))
    run.tell(trial(0, attempt=2, charges=twice), failed, trial(2))
    run.end()
    return run


def stages(run: StagedRun) -> Iterable[str]:
    """Moves a run on step by step, each worth a look: a trial that is retried, and one that is pruned meanwhile."""
    run.tell(trial(0, TrialState.WAITING), trial(1, TrialState.WAITING))
    yield "waiting"
    run.tell(trial(0, TrialState.RUNNING))
    yield "running"
    run.tell(reports=[report(0, step, accuracy=0.9) for step in (1, 2, 3)])
    yield "reported"
    run.tell(trial(0, TrialState.WAITING, attempt=1), trial(1, TrialState.RUNNING))
    yield "failed, to be tried again"
    run.tell(trial(0, TrialState.RUNNING, attempt=2, started=START + 4), reports=[report(0, 1, 2, accuracy=0.1)])
    yield "retried"
    run.tell(reports=[report(0, 2, 2, accuracy=0.2), report(1, 1, accuracy=0.05)])
    yield "reported by both"
    ended = trial(0, attempt=2, started=START + 4, metrics={"accuracy": 0.25, "loss": 3.0})
    run.tell(
        ended,
        trial(1, TrialState.PRUNED, metrics={"accuracy": 0.05}, reason="pruned at step 1"),
        reports=[report(0, 2, 2, accuracy=0.25, loss=3.0)],
    )
    yield "ended"
    run.end()
    yield "over"


def fail_at(
    monkeypatch: pytest.MonkeyPatch,
    target: object,
    real: Mapping[str, Callable[..., Any]],
    call: int,
    error: BaseException,
    *,
    after: bool,
) -> Callable[[], int]:
    """Let a target's functions fail at one of their calls, counted together.

    Args:
        monkeypatch: of the test.
        target: whose attributes are replaced.
        real: the functions by their names.
        call: which one fails, from 1.
        error: that is raised.
        after: whether the call has its effect before it fails.

    Returns:
        A function that tells how many calls there have been.
    """
    count = 0

    def guarded(function: Callable[..., Any]) -> Any:
        def write(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == call and not after:
                raise error
            answer = function(*arguments, **named)
            if count == call:
                raise error
            return answer

        return write

    for name, function in real.items():
        monkeypatch.setattr(target, name, guarded(function))
    return lambda: count
