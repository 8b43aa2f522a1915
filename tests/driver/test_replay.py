"""Every suggestion of a stored run is derived anew: also of parallel, pruned, killed and confirmed runs."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from older_stores import lower
from plain_jobs import plain_data
from scripted_launcher import Script

from cloudtune.driver.launcher import Ended
from cloudtune.driver.loop import Driver
from cloudtune.driver.made_by import MADE_BY, versions
from cloudtune.driver.replay import replay
from cloudtune.errors import ConfigError
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import EXTENSIONS, RUN_AGAIN, Report, RunRecord, RunState, Trial
from cloudtune.store.store import RunStore, Store

SPACE = {
    "x": {"type": "float", "low": 0.0, "high": 1.0},
    "kind": {"type": "categorical", "values": ["a", "b"]},
    "n": {"type": "int", "low": 1, "high": 9, "when": {"kind": "a"}},
}
CASES: dict[str, dict[str, Any]] = {
    "bayesian": {"strategy": {"type": "bayesian", "startup": 4}},
    "going by costs": {"strategy": {"type": "bayesian", "startup": 4, "cost_aware": True}},
    "evolutionary": {"strategy": {"type": "evolutionary", "population": 3}},
    "hyperband": {"strategy": {"type": "hyperband", "max_resource": 4, "eta": 2, "searcher": "bayesian"}},
    "first and confirmed": {
        "strategy": {"type": "bayesian", "startup": 4},
        "first": [{"x": 0.5}, {"kind": "b"}],
        "confirm": {"repeats": 2, "top": 2},
        "stopping": {"type": "median", "grace": 1},
    },
    "sobol": {"strategy": {"type": "sobol"}},
}


def job_of(**fields: Any) -> TuningJob:
    data = {**plain_data(space=SPACE, limits={"trials": 16, "parallel": 4, "failed": 99}), **fields}
    return TuningJob.from_data(data)


def made(folder: Path, job: TuningJob, seed: int = 3) -> RunStore:
    native = {"seed": str(seed), MADE_BY: json.dumps(versions())}
    record = RunRecord("r-1", "r", "local", "local", json.dumps(job.to_data()), "{}", native=native)
    return Store(folder).create(record)


class Dying(Script):
    """Kills the driver at one of its turns."""

    dies_at = -1

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        if self.turns == self.dies_at:
            self.turns += 1
            raise KeyboardInterrupt
        return super().poll(timeout)


def driven(run: RunStore, job: TuningJob, seed: int = 3, dies_at: Sequence[int] = ()) -> None:
    source = random.Random(seed)

    def plot(trial: Trial) -> list[Report | Ended]:
        value = float(trial.parameters["x"]) + (0.3 if trial.parameters["kind"] == "a" else 0.0)  # type: ignore[arg-type]
        reports = [
            Report(trial.number, trial.attempt, step, float(step), {"loss": value / step}) for step in range(1, 4)
        ]
        failed = trial.number % 7 == 5
        return [*reports, Ended(trial.number, trial.attempt, "it failed" if failed else "")]

    for death in [*dies_at, -1]:
        launcher = Dying(plot, order=lambda _: source.randrange(99))
        launcher.dies_at = death
        try:
            state = Driver(job, run, launcher, seed=seed).run()
        except KeyboardInterrupt:
            continue
        assert state is RunState.COMPLETED


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "dies_at", [pytest.param((), marks=pytest.mark.complete, id="whole"), pytest.param((5, 11), id="killed twice")]
)
def test_the_suggestions_of_a_parallel_run_are_derived_anew_from_its_store(
    case: str, dies_at: tuple[int, ...], tmp_path: Path
) -> None:
    job = job_of(**CASES[case])
    run = made(tmp_path, job)
    driven(run, job, dies_at=dies_at)
    found = replay(run, "driven")
    assert found.exact
    assert [each.number for each in found.trials if not each.same] == []
    search = [trial.number for trial in run.trials() if trial.repeat_of is None]
    assert [each.number for each in found.trials] == search
    assert len(search) == job.search_trials


def test_a_trial_that_was_suggested_otherwise_is_found_and_explained(tmp_path: Path) -> None:
    job = job_of(strategy={"type": "bayesian", "startup": 4})
    run = made(tmp_path, job)
    driven(run, job)
    changed = run.existing(6)
    changed.parameters["x"] = 0.123
    older = {**versions(), "numpy": "1.0.0"}
    run.write(trials=[changed], columns={"native": {"seed": "3", MADE_BY: json.dumps(older)}})
    found = replay(run, "driven")
    first = found.first_difference
    assert first is not None
    assert (first.number, found.same) == (6, False)
    assert first.difference.startswith("x was 0.123, is 0.")
    assert found.reasons[0].startswith("numpy was 1.0.0, and is ")
    assert found.to_data()["differing"][0] == 6  # type: ignore[index]


def test_a_run_of_an_earlier_version_is_replayed_by_its_times_and_says_so(tmp_path: Path) -> None:
    job = job_of(strategy={"type": "bayesian", "startup": 4}, limits={"trials": 9, "parallel": 1, "failed": 99})
    run = made(tmp_path, job)
    driven(run, job)
    run.store.close()
    lower(run.path, 4)
    run = Store(tmp_path).run("r-1")
    found = replay(run, "driven")
    assert not found.exact
    assert found.same
    changed = run.existing(8)
    changed.parameters["x"] = 0.123
    run.write(trials=[changed], columns={"native": {"seed": "3"}})
    reasons = replay(run, "driven").reasons
    assert "an earlier version" in reasons[0]
    assert "the order of the times was taken" in reasons[1]


def test_what_a_service_suggested_is_not_derived(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the service's own tuner suggested the trials of r-1"):
        replay(made(tmp_path, job_of()), "managed")


def test_an_extended_run_is_derived_by_the_limits_of_each_time(tmp_path: Path) -> None:
    few = job_of(
        strategy={"type": "bayesian"},
        limits={"trials": 9, "parallel": 2, "failed": 99},
        confirm={"repeats": 1, "top": 2},
    )
    run = made(tmp_path, few)
    driven(run, few)
    more = few.model_copy(update={"limits": few.limits.model_copy(update={"trials": 20})})
    entry = {"time": 1.0, "trials": len(run.trials()), "before": few.to_data(portable=True)["limits"]}
    native = {**run.record().native, EXTENSIONS: json.dumps([entry])}
    run.write(columns={"native": native, "job": json.dumps(more.to_data()), "state": "interrupted"})
    driven(run, more)
    found = replay(run, "driven")
    assert found.exact
    assert [each.number for each in found.trials if not each.same] == []
    assert len(found.trials) == 18
    numbers = [trial.number for trial in run.trials()]
    assert numbers == list(range(len(numbers)))
    run.write(events=[(5, f"{RUN_AGAIN} (it was failed)")], trials=[_moved(run.existing(6))])
    assert "run again for their user: 5" in replay(run, "driven").reasons[-1]


def _moved(trial: Trial) -> Trial:
    trial.parameters["x"] = 0.123
    return trial
