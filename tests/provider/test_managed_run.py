"""A run of a service's own tuner, over a tuner that says what the test says."""

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from plain_jobs import plain_data

from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.snapshots import JobSnapshot, TrialSnapshot
from cloudtune.errors import ProviderError
from cloudtune.planning.plan import Note, Plan, Support
from cloudtune.provider.managed_run import ManagedRun, Tuner
from cloudtune.provider.service import Service
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

RUNNING, COMPLETED, FAILED, CANCELLED = (
    TrialState.RUNNING, TrialState.COMPLETED, TrialState.FAILED, TrialState.CANCELLED,
)  # fmt: skip


def job_of(**fields: Any) -> TuningJob:
    return TuningJob.from_data(
        {**plain_data(limits={"trials": 9, "parallel": 2, **fields.pop("limits", {})}), **fields}
    )


class Here(Service):
    name = "toy"
    service = "Toy"
    sdk = ()
    poll = 0.0
    endpoint = None
    address = None

    def log_in(self) -> None:
        """Ask for nothing."""


class Scripted(Tuner):
    """Tells what the test says, a snapshot or an error for each poll."""

    def __init__(self, name: str = "") -> None:
        super().__init__(RunBrief("r", job_of(), Plan("toy", "managed", {}), {}, 0.0, 0.0, dict), name)
        self.told: list[JobSnapshot | ProviderError] = []
        self.refused: ProviderError | None = None
        self.created: list[bool] = []
        self.done: list[set[int]] = []
        self.stops = 0

    def create(self, *, again: bool) -> str:
        self.created.append(again)
        if self.refused is not None:
            raise self.refused
        return "job-1"

    def poll(self, done: Collection[int]) -> JobSnapshot:
        self.done.append(set(done))
        told = self.told.pop(0)
        if isinstance(told, ProviderError):
            raise told
        return told

    def stop(self) -> None:
        self.stops += 1

    def lines(self, trial: Trial, over: Callable[[], bool]) -> Iterator[str]:
        yield "loss: 3ms"

    def files(self, trial: Trial, target: Path) -> list[Path]:
        raise NotImplementedError


Make = Callable[..., tuple[ManagedRun, Scripted, RunStore]]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Makes a run of a job, whose limits are watched, and starts it."""

    def make(run: RunStore | None = None, name: str = "", **fields: Any) -> tuple[ManagedRun, Scripted, RunStore]:
        job, tuner = job_of(**fields), Scripted(name)
        plan = Plan("toy", "managed", {}, notes=(Note("limits.failed", Support.WATCHED, ""),))
        fresh = RunRecord("r", "j", "toy", "toy", json.dumps(job.to_data()), json.dumps(plan.to_data()))
        run = run or Store(tmp_path).create(fresh)
        managed = ManagedRun(Here(), run, lambda: tuner, job, plan)
        return managed, tuner, run

    return make


def seen(*trials: TrialSnapshot, state: RunState = RunState.RUNNING, reason: str = "") -> JobSnapshot:
    return JobSnapshot(state, 5.0, 7.0, reason, trials)


def report(number: int, step: int, loss: float) -> Report:
    return Report(number, 1, step, 10.0 + step, {"loss": loss})


def test_a_run_from_its_start_to_its_end(made: Make) -> None:
    managed, tuner, run = made()
    managed.start()
    managed.start()
    assert tuner.created == [False]
    assert run.record().native == {"job": "job-1"}
    tuner.told = [
        seen(TrialSnapshot(0, "t0", RUNNING, {"x": 0.25}, started=9.0, reports=[report(0, 1, 3.0)])),
        seen(
            TrialSnapshot(0, "t0", COMPLETED, {"x": 0.25}, 9.0, 12.0, [report(0, 2, 2.0)], {"loss": 1.5}),
            TrialSnapshot(1, "t1", RUNNING, {"x": 0.75}),
            state=RunState.COMPLETED,
        ),
    ]
    assert managed.look() is RunState.RUNNING
    assert run.trials()[0].metrics == {"loss": 3.0}
    assert managed.look() is RunState.COMPLETED
    first, second = run.trials()
    assert (first.state, first.metrics, first.started, first.ended) == (COMPLETED, {"loss": 1.5}, 9.0, 12.0)
    assert first.parameters == {"x": 0.25}
    assert (second.state, second.reason) == (CANCELLED, "the job ended before it did")
    assert [each.step for each in run.reports(0)] == [1, 2]
    assert run.record().started == 5.0


def test_a_tuning_job_whose_making_was_not_answered_is_looked_for(made: Make) -> None:
    managed, tuner, run = made()
    tuner.refused = ProviderError("lost", retryable=True)
    with pytest.raises(ProviderError):
        managed.start()
    assert run.record().state is RunState.WAITING
    again, tuner, _ = made(run)
    again.start()
    assert tuner.created == [True]
    assert run.record().state is RunState.RUNNING


@pytest.mark.parametrize("name", ["", "known"])
def test_cancelling_what_may_have_been_made_stops_it_by_its_name(made: Make, name: str) -> None:
    managed, tuner, run = made()
    tuner.refused = ProviderError("lost", retryable=True)
    with pytest.raises(ProviderError):
        managed.start()
    other, tuner, _ = made(run, name)
    other.cancel()
    assert tuner.stops == (1 if name else 0)
    assert run.record().state is RunState.CANCELLED


def test_what_ended_is_asked_no_more_and_a_later_watcher_reads_the_rest_anew(made: Make) -> None:
    managed, tuner, run = made()
    managed.start()
    ended = TrialSnapshot(0, "t0", FAILED, ended=12.0, reason="broke")
    tuner.told = [seen(ended, TrialSnapshot(1, "t1", reports=[report(1, 1, 4.0)])), seen()]
    managed.look()
    managed.look()
    assert tuner.done == [set(), {0}]
    later, tuner, _ = made(run)
    tuner.told = [
        seen(TrialSnapshot(1, "t1", COMPLETED, reports=[report(1, 1, 4.0)]), state=RunState.COMPLETED),
    ]  # fmt: skip
    assert later.look() is RunState.COMPLETED
    assert tuner.done == [{0}]
    assert [(each.state, each.reason) for each in run.trials()] == [(FAILED, "broke"), (COMPLETED, "")]
    assert len(list(run.reports(1))) == 1
    assert [message for _, number, message in run.events() if number == 0] == ["failed: broke"]


def test_a_job_that_is_gone_ends_trials_that_only_the_store_knows(made: Make) -> None:
    managed, tuner, run = made()
    managed.start()
    tuner.told = [seen(TrialSnapshot(0, "t0"))]
    managed.look()
    later, tuner, _ = made(run)
    tuner.told = [seen(state=RunState.CANCELLED, reason="the tuning job was deleted")]
    assert later.look() is RunState.CANCELLED
    assert run.trials()[0].state is CANCELLED
    assert "deleted" in run.record().reason


def test_metrics_that_come_late_are_waited_for(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "lag", 1)
    managed, tuner, run = made()
    managed.start()
    ended = TrialSnapshot(0, "t0", COMPLETED)
    late = TrialSnapshot(0, "t0", COMPLETED, reports=[report(0, 1, 2.0)])
    tuner.told = [seen(ended), seen(late, TrialSnapshot(1, "t1", COMPLETED)), seen(TrialSnapshot(1, "t1", COMPLETED))]
    managed.look()
    assert run.trials()[0].state is RUNNING
    managed.look()
    managed.look()
    first, second = run.trials()
    assert (first.state, first.metrics) == (COMPLETED, {"loss": 2.0})
    assert second.state is FAILED
    assert "it printed loss=3ms" in second.reason


def test_trials_count_in_the_order_of_their_ends(made: Make) -> None:
    managed, tuner, run = made()
    managed.start()
    trials = [TrialSnapshot(number, f"t{number}", FAILED, ended=20.0 - number, reason="r") for number in range(3)]
    tuner.told = [seen(*trials)]
    managed.look()
    assert [trial.number for trial in run.history()] == [2, 1, 0]


def test_a_job_whose_stop_failed_is_told_to_stop_again(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    managed, tuner, run = made(limits={"failed": 1})
    managed.start()
    tuner.told = [seen(TrialSnapshot(0, "t0", FAILED, reason="broke")), seen(), seen(state=RunState.CANCELLED)]

    def unreachable() -> None:
        raise ProviderError("out of order", retryable=True)

    with monkeypatch.context() as broken:
        broken.setattr(tuner, "stop", unreachable)
        with pytest.raises(ProviderError):
            managed.look()
    managed.look()
    assert tuner.stops == 1
    assert managed.look() is RunState.FAILED
    assert "the most allowed" in run.record().reason
    told = [message for _, number, message in run.events() if number is None]
    assert len([message for message in told if message.startswith("1 trials have failed")]) == 1
