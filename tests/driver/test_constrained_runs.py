"""Runs with constraints, from Python and on the command line."""

from pathlib import Path
from typing import Any

import pytest
from late import LATE

import cloudtune.trial
from cloudtune import Float, RunState, tune
from cloudtune.cli.app import run_app

if LATE:
    optuna = pytest.importorskip("optuna")
    from cloudtune.interop.optuna_study import job_from_study

    optuna.logging.set_verbosity(optuna.logging.ERROR)

X = {"x": Float(low=0, high=1)}
HALF = {"metric": "size", "max": "500B"}


def measured(x: float) -> dict[str, float]:
    return {"score": x, "size": 1000 * x}


def tuned(project: Path, **fields: Any) -> Any:
    asked = {
        "maximize": "score",
        "trials": 12,
        "strategy": {"type": "random", "seed": 5},
        "constraints": HALF,
        **fields,
    }
    return tune(measured, X, project=project, **asked)


def test_the_best_trial_is_a_feasible_one_and_tables_say_which_are(tmp_path: Path) -> None:
    run = tuned(tmp_path)
    kept = [trial.metrics["score"] for trial in run.trials() if trial.metrics["size"] <= 500]
    assert 0 < len(kept) < 12
    assert run.best.metrics["score"] == max(kept)
    assert run.nearest is None
    frame = run.to_pandas()
    assert list(frame["feasible"]) == [size <= 500 for size in frame["metrics_size"]]
    assert all(
        ("not feasible: size = " in why) != fine for why, fine in zip(frame["reason"], frame["feasible"], strict=True)
    )


def test_a_trial_that_tells_no_value_completes_and_says_what_to_do(tmp_path: Path) -> None:
    run = tuned(tmp_path, constraints={"metric": "sizes", "max": 1}, trials=2)
    assert [trial.state.value for trial in run.trials()] == ["completed"] * 2
    assert run.best is run.nearest is None
    (first, _) = run.to_pandas()["reason"]
    assert first.startswith(
        "not feasible: no value of sizes; print sizes=VALUE, call cloudtune.trial.report(sizes=VALUE)"
    )
    assert "the nearest is size" in first


def test_a_target_is_reached_by_a_feasible_trial_alone(tmp_path: Path) -> None:
    run = tuned(tmp_path, trials=60, limits={"target": 0.4}, strategy={"type": "random", "seed": 1})
    assert run.state is RunState.COMPLETED
    last = run.trials()[-1]
    assert 0.4 <= last.metrics["score"] <= 0.5
    assert any(trial.metrics["score"] > 0.5 for trial in run.trials())


def test_where_nothing_is_feasible_every_view_says_so_and_shows_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloudtune.toml").touch()
    run = tuned(tmp_path, constraints={"metric": "size", "min": 2000}, trials=4)
    nearest = max(run.trials(), key=lambda trial: trial.metrics["size"])
    assert run.best is None
    assert run.nearest == nearest

    def printed(*arguments: str, code: int = 0) -> str:
        assert run_app(list(arguments)) == code
        captured = capfd.readouterr()
        return captured.out + captured.err

    said = f"no trial keeps size >= 2000; trial {nearest.number} comes nearest"
    assert "none feasible" in printed("ls")
    assert said in printed("show")
    assert said in printed("best", code=1)
    assert '"nearest": {' in printed("show", "--json")
    page = run.report(tmp_path / "report.html").read_text()
    assert "No feasible trial" in page
    assert f"Trial {nearest.number} comes nearest" in page


def test_optuna_gets_the_violations_and_its_study_brings_them_back(tmp_path: Path) -> None:
    run = tuned(tmp_path)
    storage = optuna.storages.InMemoryStorage()
    run.publish(optuna=storage)
    study = optuna.load_study(study_name=run.id, storage=storage)
    expected = [[(1000 * trial.parameters["x"] - 500) / 500] for trial in run.trials()]
    assert [each.system_attrs["constraints"] for each in study.trials] == [pytest.approx(each) for each in expected]
    imported = job_from_study(study)
    assert [str(each) for each in imported.job.constraints] == ["constraint_0 <= 0"]
    assert [row["constraint_0"] for row in imported.trials] == [pytest.approx(each[0]) for each in expected]
    assert "constraint_0" in "\n".join(map(str, imported.notes))


def kept_by_chance(x: float) -> dict[str, float]:
    again = cloudtune.trial.seed() >= 6  # repetitions have the numbers, and so the seeds, after those of the search
    return {"score": x, "size": 900 + 100 * x if again else 100}


def test_where_candidates_kept_the_constraints_by_chance_alone_every_view_says_that_nothing_is_feasible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloudtune.toml").touch()
    job: dict[str, Any] = {
        "maximize": "score",
        "trials": 10,
        "strategy": {"type": "random", "seed": 5},
        "confirm": {"repeats": 2, "top": 2},
    }
    run = tune(kept_by_chance, X, project=tmp_path, constraints=HALF, **job)
    assert run.best is None
    first, second = sorted((run.trials()[number] for number in run.confirmed), key=lambda each: each.metrics["score"])
    assert run.nearest == first
    assert run.confirmed[first.number].means["size"] < run.confirmed[second.number].means["size"]

    def printed(*arguments: str, code: int = 0) -> str:
        capfd.readouterr()
        assert run_app(list(arguments)) == code
        captured = capfd.readouterr()
        return captured.out + captured.err

    said = (
        f"no candidate keeps size <= 500B by the means of its repetitions; trial {first.number} comes nearest: score = "
    )
    assert "none feasible" in printed("ls")
    shown = printed("show")
    assert f"best     {said}" in shown
    assert f"confirmed: nothing feasible: {said}" in shown
    assert said in printed("best", code=1)
    assert f'"nearest": {{\n    "number": {first.number}' in printed("show", "--json")
    page = run.report(tmp_path / "report.html").read_text()
    assert "None of 2 candidates is feasible" in page
    assert f"Trial {first.number} comes nearest" in page
    assert "The candidates were run again" in page
