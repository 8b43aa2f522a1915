"""The driver and a user of ask and tell get the same suggestions and the same judgements of the same history."""

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.driver.loop import Driver
from cloudtune.search import KnownTrial, Search, Suggestion
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, Trial, TrialState
from cloudtune.store.store import Store

SPACE = {
    "x": {"type": "float", "low": 0.0, "high": 1.0},
    "kind": {"type": "categorical", "values": ["a", "b"]},
    "n": {"type": "int", "low": 1, "high": 9, "when": {"kind": "a"}},
}
STRATEGIES = [
    {"type": "grid", "levels": 3},
    {"type": "random"},
    {"type": "sobol"},
    {"type": "bayesian", "startup": 3},
    {"type": "evolutionary", "population": 3},
    {"type": "hyperband", "max_resource": 4, "eta": 2, "searcher": "evolutionary"},
]


class User(Launcher):
    """Runs nothing: asks a search of its own whenever the driver launches a trial, and tells it what the driver polls.

    Args:
        search: its own.
        values: the values of reports, one after the other; NaN fails a trial that ends on it.
        order: which of the running trials reports next, one after the other.
    """

    def __init__(self, search: Search, values: Sequence[float], order: Sequence[int]) -> None:
        self.search, self.values, self.order = search, values, order
        self.turns = 0
        self.steps: dict[int, int] = {}
        self.pruned: set[int] = set()
        self.stopped: set[int] = set()
        self.suggested: list[Suggestion] = []

    def launch(self, trial: Trial) -> None:
        suggestion = self.search.ask()
        assert suggestion == Suggestion(trial.number, trial.parameters)
        self.suggested.append(suggestion)
        self.steps[trial.number] = 0

    def adopt(self, trial: Trial) -> bool:
        return False

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        if not self.steps:
            return []
        self.turns += 1
        number = list(self.steps)[self.order[self.turns % len(self.order)] % len(self.steps)]
        if self.steps[number] == 4 or number in self.stopped:
            del self.steps[number]
            self.search.tell(number, state="pruned" if number in self.stopped else "completed")
            return [Ended(number, 1, "it was killed" if number in self.stopped else "")]
        self.steps[number] += 1
        metrics = {"loss": self.values[self.turns % len(self.values)]}
        if self.search.report(number, self.steps[number], metrics):
            self.pruned.add(number)
        return [Report(number, 1, self.steps[number], 0.0, metrics)]

    def stop(self, number: int) -> None:
        self.stopped.add(number)

    def close(self) -> None:
        self.steps.clear()


def job_of(**fields: Any) -> TuningJob:
    data = {
        "name": "j",
        "trial": {"command": "true"},
        "objective": {"metric": "loss", "goal": "minimize", "measurement": "best"},
        "space": SPACE,
        "limits": {"trials": 10, "parallel": 3, "failed": 99},
        **fields,
    }
    return TuningJob.from_data(data)


def search_of(job: TuningJob, seed: int) -> Search:
    """The search that the job describes, in plain data as a user would write it."""
    data = job.to_data()
    return Search(
        data["space"],  # type: ignore[arg-type]  # plain data
        data["objective"],  # type: ignore[arg-type]
        data.get("strategy", "random"),  # type: ignore[arg-type]
        seed=seed,
        stopping=data.get("stopping"),  # type: ignore[arg-type]
        trials=job.limits.trials,
    )


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["type"])
@settings(max_examples=examples(8), deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    values=st.lists(st.floats(-5, 5) | st.just(math.nan), min_size=5, max_size=40),
    order=st.lists(st.integers(0, 5), min_size=1, max_size=9),
)
def test_the_driver_suggests_and_prunes_as_a_search_of_the_same_seed_and_history(
    strategy: dict[str, Any], seed: int, values: list[float], order: list[int]
) -> None:
    stopping = {} if strategy["type"] == "hyperband" else {"stopping": {"type": "median"}}
    job = job_of(strategy=strategy, **stopping)
    user = User(search_of(job, seed), values, order)
    with TemporaryDirectory() as folder:
        record = RunRecord(id="r", name="j", provider="local", profile="local", job="{}", plan="{}")
        run = Store(Path(folder)).create(record)
        Driver(job, run, user, seed=seed).run()
        trials = run.trials()
    assert [trial.number for trial in trials] == list(range(10))
    assert user.stopped == user.pruned == {each.number for each in trials if each.state is TrialState.PRUNED}
    assert user.search.ask() is None
    best = min(
        (trial for trial in trials if trial.state is TrialState.COMPLETED),
        key=lambda trial: (trial.metrics["loss"], trial.number),
        default=None,
    )
    assert (user.search.best and user.search.best.number) == (best and best.number)


def test_known_trials_are_learnt_from_alike(tmp_path: Path) -> None:
    known = [KnownTrial({"x": x, "kind": "b"}, {"loss": (x - 0.3) ** 2}, origin="table") for x in (0.1, 0.5, 0.8)]
    job = job_of(strategy={"type": "bayesian", "startup": 2}, limits={"trials": 4, "parallel": 1})
    search = search_of(job, 3)
    assert search.learn(known) == 3
    user = User(search, [0.5, 0.25], [0])
    record = RunRecord(id="r", name="j", provider="local", profile="local", job="{}", plan="{}")
    Driver(job, Store(tmp_path).create(record), user, seed=3, known=known).run()
    assert len(user.suggested) == 4
