"""Warm start: what is learnt from earlier runs and from tables of known trials, and what is told of mistakes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from cloudtune import Categorical, Float, Int, TuningJob, api, tune
from cloudtune.driver.warm_start import keep, kept, known_trials
from cloudtune.errors import RunNotFound, SpecError
from cloudtune.search.known_trials import KnownTrial, observations, project
from cloudtune.space.space import Space
from cloudtune.store.records import TrialState

SPACE = {
    "lr": {"type": "float", "low": 1e-4, "high": 1.0, "scale": "log"},
    "layers": {"type": "int", "low": 1, "high": 8},
    "norm": {"type": "categorical", "values": ["batch", None, True]},
    "momentum": {"type": "float", "low": 0, "high": 1, "when": {"norm": ["batch"]}},
}


def job(**fields: Any) -> TuningJob:
    about = {
        "name": "warm",
        "trial": {"command": "true"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": SPACE,
        "strategy": {"type": "bayesian"},
        "limits": {"trials": 5},
    }
    return TuningJob.from_data({**about, **fields})


def known(parameters: dict[str, Any], loss: float, state: TrialState = TrialState.COMPLETED) -> KnownTrial:
    return KnownTrial(parameters, {"loss": loss}, state, "before")


def test_identical_trials_are_those_that_are_possible_here() -> None:
    trials = [
        known({"lr": 0.01, "layers": 3, "norm": None}, 1.0),
        known({"lr": 0.01, "layers": 3.0, "norm": "batch", "momentum": 0.9, "unknown": 7}, 2.0),
        known({"lr": 2.0, "layers": 3, "norm": None}, 0.0),
        known({"lr": 0.01, "layers": 3}, 0.0),
        known({"lr": 0.02, "layers": 4, "norm": True}, 3.0, TrialState.FAILED),
    ]
    warm = job(warm_start={"runs": ["before"]})
    found = observations(trials, warm.search_space(), warm.objective, transfer=False)
    assert [each.number for each in found] == [-1, -2, -3]
    assert [each.parameters for each in found] == [
        {"lr": 0.01, "layers": 3, "norm": None},
        {"lr": 0.01, "layers": 3, "norm": "batch", "momentum": 0.9},
        {"lr": 0.02, "layers": 4, "norm": True},
    ]
    assert [each.losses for each in found] == [(1.0,), (2.0,), None]
    assert {each.origin for each in found} == {""}


def test_hints_are_taken_also_from_an_overlapping_space() -> None:
    trials = [known({"lr": 2.0, "layers": 3, "width": 5}, 1.0), known({"nothing": 1}, 1.0)]
    warm = job(warm_start={"runs": ["before"], "kind": "transfer"})
    found = observations(trials, warm.search_space(), warm.objective, transfer=True)
    assert [(each.parameters, each.origin) for each in found] == [({"layers": 3}, "before")]


def test_goals_are_turned_into_losses() -> None:
    warm = job(warm_start=["before"], objective={"metric": "loss", "goal": "maximize"})
    (found,) = observations(
        [known({"lr": 0.01, "layers": 3, "norm": None}, 1.5)], warm.search_space(), warm.objective, transfer=False
    )
    assert found.losses == (-1.5,)


def test_values_become_those_of_the_axis() -> None:
    space = Space({"n": Int(low=1, high=9, step=2), "x": Float(low=0, high=1), "c": Categorical(values=(1, True))})
    assert project(space, {"n": 3.0, "x": 1, "c": 1.0}) == {"n": 3, "x": 1.0, "c": 1}
    assert project(space, {"n": 4, "x": "text", "c": None}) == {}


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_a_table_of_known_trials_is_read_with_its_types(suffix: str, tmp_path: Path) -> None:
    rows = [
        {"lr": 0.01, "layers": 3, "norm": "batch", "momentum": 0.5, "loss": 0.25, "note": "x"},
        {"lr": 1e-3, "layers": 2, "norm": None, "momentum": None, "loss": 0.75, "note": ""},
        {"lr": 0.5, "layers": 1, "norm": True, "momentum": None, "loss": math.nan, "note": "diverged"},
        {"lr": 0.25, "layers": None, "norm": "batch", "momentum": None, "loss": None, "note": "not run yet"},
    ]
    path = tmp_path / f"known.{suffix}"
    if suffix == "csv":
        cells = [["" if value is None else str(value).lower() for value in row.values()] for row in rows]
        path.write_text("\n".join(",".join(line) for line in [list(rows[0]), *cells]))
    else:
        path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    found = known_trials(job(warm_start={"table": path.name}), tmp_path, tmp_path)
    assert [trial.parameters for trial in found] == [
        {"lr": 0.01, "layers": 3, "norm": "batch", "momentum": 0.5},
        {"lr": 1e-3, "layers": 2, "norm": None},
        {"lr": 0.5, "layers": 1, "norm": True},
        {"lr": 0.25, "norm": "batch"},
    ]
    assert [trial.state.value for trial in found] == ["completed", "completed", "failed", "waiting"]
    assert [trial.metrics["loss"] for trial in found[:2]] == [0.25, 0.75]
    assert type(found[0].parameters["layers"]) is int


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("known.csv", "lr,layers\n0.1,2\n", "line 2 of known.csv has no 'loss', which is an objective"),
        ("known.json", '{"lr": 1}', r"known.json is no list of trials; write \[\{parameter: value"),
        ("known.jsonl", '{"lr": 1}\n{nonsense}', "known.jsonl cannot be read: Expecting property name"),
        (
            "known.csv",
            "lr,loss\n0.1,\n7,\n",
            "line 3 of known.csv has no result, and cannot be run: lr: 7.* is outside",
        ),
        ("known.csv", "lr,norm,loss\n,,\n", "line 2 of known.csv has no result, and cannot be run: it gives no value"),
        ("known.txt", "", "'known.txt' is none of .csv, .json, .jsonl"),
        ("missing.csv", None, "there is no file 'missing.csv' in"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=f"warm_start.table.*{message}"):
        known_trials(job(warm_start={"table": name}), tmp_path, tmp_path)


def test_a_job_names_earlier_runs_by_their_whole_ids(tmp_path: Path) -> None:
    tune(lambda x: x, {"x": Float(low=0, high=1)}, minimize="loss", trials=1, run_id="long-id", project=tmp_path)
    assert len(known_trials(job(warm_start=["long-id"]), tmp_path, tmp_path)) == 1
    with pytest.raises(RunNotFound, match=r"'long' is the beginning of 'long-id'; give the whole id"):
        known_trials(job(warm_start=["long"]), tmp_path, tmp_path)


def test_a_run_that_does_not_exist_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="no-such-run"):
        tune(
            lambda x: x,
            {"x": Float(low=0, high=1)},
            minimize="x",
            trials=2,
            project=tmp_path,
            warm_start=["no-such-run"],
        )


def test_what_is_known_is_kept_for_a_resume(tmp_path: Path) -> None:
    assert kept(tmp_path) == []
    trials = [known({"lr": 0.01, "norm": None}, 1.0), known({}, float("nan"), TrialState.FAILED)]
    keep(tmp_path, trials)
    again = kept(tmp_path)
    assert again[0] == trials[0]
    assert again[1].state is TrialState.FAILED


def test_a_run_learns_from_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(f"{x / 20},{(x / 20 - 0.35) ** 2}" for x in range(21))
    (tmp_path / "known.csv").write_text(f"x,loss\n{lines}\n")
    run = tune(
        lambda x: {"loss": (x - 0.35) ** 2},
        {"x": Float(low=0, high=1)},
        minimize="loss",
        trials=3,
        strategy={"type": "bayesian", "seed": 1},
        project=tmp_path,
        warm_start={"table": "known.csv"},
    )
    assert any("learnt from 21 of 21 trials" in message for _, _, message in run.events())
    assert all(abs(trial.parameters["x"] - 0.35) < 0.2 for trial in run.trials())


def test_transfer_tries_the_best_of_the_earlier_run_first(tmp_path: Path) -> None:
    space = {"x": Float(low=0, high=1)}
    first = tune(
        lambda x: {"loss": 100 + (x - 0.3) ** 2},
        space,
        minimize="loss",
        trials=12,
        strategy={"type": "bayesian", "seed": 3},
        project=tmp_path,
    )
    assert first.best is not None
    second = tune(
        lambda x: {"loss": (x - 0.32) ** 2},
        space,
        minimize="loss",
        trials=4,
        strategy={"type": "bayesian", "seed": 5},
        project=tmp_path,
        warm_start={"runs": [first.id], "kind": "transfer"},
    )
    assert second.trials()[0].parameters == first.best.parameters


def test_a_strategy_that_cannot_be_had_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="strategy: .*NoSuchSampler"):
        api.submit(job(strategy={"type": "optuna", "sampler": "NoSuchSampler"}), project=tmp_path)
