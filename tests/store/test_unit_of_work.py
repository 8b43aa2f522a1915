"""What a run's driver, or whoever follows it, writes in one transaction."""

from pathlib import Path
from typing import Any

import pytest

from cloudtune.errors import StoreError
from cloudtune.store.records import Report, RunRecord, Trial, TrialState
from cloudtune.store.store import RunStore, Store
from cloudtune.store.unit_of_work import UnitOfWork


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return Store(tmp_path).create(RunRecord("r", "r", "local", "local", "{}", "{}"))


def test_all_of_it_is_written_together_and_once(run: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    write = run.write
    monkeypatch.setattr(run, "write", lambda **given: (calls.append(given), write(**given)))
    work = UnitOfWork(run)
    assert not work
    trial = Trial(0, {"x": 1.0})
    work.trial(trial)
    work.report(Report(0, 1, 1, 5.0, {"loss": 2.0}))
    work.event(None, "begun")
    trial.state = TrialState.RUNNING
    assert work
    work.write({"reason": "why"}, [Trial(1, {"x": 2.0})])
    assert not work
    work.write()
    assert len(calls) == 2
    assert [each.state for each in run.trials()] == [TrialState.RUNNING, TrialState.WAITING]
    assert len(list(run.reports(0))) == len(run.events()) == 1
    assert run.record().reason == "why"


def test_trials_are_written_in_the_order_of_their_last_change(run: RunStore) -> None:
    first, second = Trial(0, {}, TrialState.FAILED), Trial(1, {}, TrialState.FAILED)
    work = UnitOfWork(run)
    for trial in (first, second, first):
        work.trial(trial)
    work.write()
    assert [trial.number for trial in run.history()] == [1, 0]


def test_what_could_not_be_written_is_written_the_next_time(run: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    work = UnitOfWork(run)
    work.trial(Trial(0, {}))

    def full(**_: Any) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(run, "write", full)
        with pytest.raises(StoreError):
            work.write()
    assert work
    work.write()
    assert [trial.number for trial in run.trials()] == [0]
