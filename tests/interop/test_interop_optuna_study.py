"""Studies of Optuna, to jobs that go on where they ended."""

import csv
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune import TuningJob
from cloudtune.cli.app import run_app
from cloudtune.driver.warm_start import known_trials
from cloudtune.errors import ConfigError, SpecError
from cloudtune.interop.formats import load_format
from cloudtune.search.known_trials import observations, project
from cloudtune.space.parameters import Categorical, Float, Int

if LATE:
    optuna = pytest.importorskip("optuna")
    from cloudtune.interop.optuna_study import job_from_study

    optuna.logging.set_verbosity(optuna.logging.ERROR)


def studied(objective: Callable[[Any], Any], count: int = 40, **options: Any) -> Any:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1), **options)
    study.optimize(objective, n_trials=count)
    return study


def branching(trial: Any) -> float:
    """A program with branches below branches, and a loop."""
    x = trial.suggest_float("x", 0.1, 1)
    if trial.suggest_categorical("model", ["svm", "net"]) == "svm":
        if trial.suggest_categorical("kernel", ["rbf", "poly", "linear"]) == "poly":
            trial.suggest_int("degree", 2, 4)
        return float(x + trial.suggest_float("C", 1e-3, 1e3, log=True))
    layers = trial.suggest_int("layers", 1, 3)
    return float(x + sum(trial.suggest_int(f"units{index}", 8, 64, step=8) for index in range(layers)))


def told(study: Any) -> str:
    return "\n".join(map(str, job_from_study(study).notes))


def test_branches_of_the_users_code_become_conditions() -> None:
    study = studied(branching, 80)
    space = job_from_study(study).job.space
    assert space == {
        "x": Float(low=0.1, high=1),
        "model": Categorical(values=("svm", "net")),
        "kernel": Categorical(values=("rbf", "poly", "linear"), when={"model": ("svm",)}),
        "degree": Int(low=2, high=4, when={"kernel": ("poly",)}),
        "C": Float(low=1e-3, high=1e3, scale="log", when={"model": ("svm",)}),
        "layers": Int(low=1, high=3, when={"model": ("net",)}),
        "units0": Int(low=8, high=64, step=8, when={"model": ("net",)}),
        "units1": Int(low=8, high=64, step=8, when={"layers": (2, 3)}),
        "units2": Int(low=8, high=64, step=8, when={"layers": (3,)}),
    }  # fmt: skip
    assert "degree: is there in exactly the trials in which kernel is 'poly', hence its condition" in told(study)


def test_every_completed_trial_is_one_of_the_job() -> None:
    study = studied(branching, 80)
    space = job_from_study(study).job.search_space()
    assert all(space.contains(project(space, trial.params)) for trial in study.trials)
    assert all(project(space, trial.params).keys() == trial.params.keys() for trial in study.trials)


def test_what_no_value_explains_is_always_there_and_told() -> None:
    def objective(trial: Any) -> float:
        trial.suggest_categorical("kind", ["a", "b"])
        if trial.suggest_float("x", 0, 1) > 0.5:
            trial.suggest_float("y", 0, 1)
        return 0.0

    study = studied(objective)
    assert job_from_study(study).job.space["y"] == Float(low=0, high=1)
    assert "y: " in told(study)
    assert "which no other parameter's value explains: here it is always there" in told(study)


def test_a_trial_that_broke_off_early_proves_no_condition() -> None:
    def objective(trial: Any) -> float:
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            raise optuna.TrialPruned
        return float(trial.suggest_float("y", 0, 1))

    imported = job_from_study(studied(objective))
    assert imported.job.space["y"] == Float(low=0, high=1)
    assert any("were pruned" in note.message for note in imported.notes)
    assert any("did not complete are left out" in note.message for note in imported.notes)


def test_two_explanations_are_both_told() -> None:
    def objective(trial: Any) -> float:
        kind = trial.suggest_categorical("kind", ["a", "b"])
        study.enqueue_trial({"kind": "b" if kind == "a" else "a", "twin": "c" if kind == "b" else "d"})
        if trial.suggest_categorical("twin", ["c", "d"]) == ("c" if kind == "a" else "d") and kind == "a":
            trial.suggest_float("y", 0, 1)
        return 0.0

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial({"kind": "a", "twin": "c"})
    study.optimize(objective, n_trials=6)
    assert job_from_study(study).job.space["y"] == Float(low=0, high=1, when={"kind": ("a",)})
    assert "y: is there in exactly the trials in which kind is 'a', hence its condition; twin would explain it as well" in told(study)  # fmt: skip


def test_a_range_that_changed_covers_all_of_them() -> None:
    study = studied(lambda trial: trial.suggest_float("x", -trial.number - 1, trial.number + 1), 3)
    assert job_from_study(study).job.space["x"] == Float(low=-3, high=3)
    assert "x: its range changed from trial to trial: -3.0 to 3.0 covers all of them" in told(study)


def test_objectives_have_their_directions_and_names() -> None:
    study = studied(lambda trial: (trial.suggest_float("value_0", 0, 1), 1.0), 3, directions=["maximize", "minimize"])
    job = job_from_study(study).job
    assert [(each.metric, each.goal) for each in job.objective] == [("value_0_of_the_trial", "maximize"), ("value_1", "minimize")]  # fmt: skip
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["accuracy", "cost"])
    imported = job_from_study(study)
    assert [each.metric for each in imported.job.objective] == ["accuracy", "cost"]
    assert imported.trials[0].keys() == {"value_0", "accuracy", "cost"}


def test_names_that_a_job_cannot_have_are_changed_also_in_conditions() -> None:
    def objective(trial: Any) -> float:
        if trial.suggest_categorical("the kind", ["a", "b"]) == "a":
            trial.suggest_float("the {x}", 0, 1)
        return 0.0

    imported = job_from_study(studied(objective))
    assert imported.job.space["the_x_"] == Float(low=0, high=1, when={"the_kind": ("a",)})
    assert set(imported.trials[0]) == {"the_kind", "the_x_", "value"}


def test_a_study_without_trials_or_with_choices_that_are_no_scalars_is_refused() -> None:
    with pytest.raises(SpecError, match="no trial of it has parameters yet"):
        job_from_study(optuna.create_study())
    with pytest.warns(UserWarning, match="persistent storage"):
        study = studied(lambda trial: len(trial.suggest_categorical("layers", [(1, 2), (3,)])), 2)
    with pytest.raises(SpecError, match=r"layers: cloudtune has no value \(1, 2\)"):
        job_from_study(study)


# Storages


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """An SQLite file with two studies."""
    path = tmp_path / "studies.db"
    for name in ("one", "two"):
        studied(branching, 8, storage=f"sqlite:///{path}", study_name=name)
    return path


def test_a_study_is_found_by_url_and_by_file_and_chosen_by_its_name(storage: Path) -> None:
    formats = load_format("optuna")
    by_url, by_file = formats.read(f"sqlite:///{storage}", study="two"), formats.read(str(storage), study="two")
    assert by_url.job == by_file.job
    assert by_url.job.name == "two"
    with pytest.raises(ConfigError, match="which study.*'one', 'two'"):
        formats.read(str(storage))
    with pytest.raises(ConfigError, match="there is no study 'three'; the storage holds 'one', 'two'"):
        formats.read(str(storage), study="three")


def test_a_journal_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    studied(branching, 5, storage=optuna.storages.JournalStorage(backend), study_name="logged")
    assert load_format("optuna").read(str(path)).job.name == "logged"


def test_a_storage_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for source in (str(tmp_path / "no.db"), f"sqlite:///{tmp_path / 'no.db'}"):
        with pytest.raises(ConfigError, match="there is no file"):
            load_format("optuna").read(source)
    assert list(tmp_path.iterdir()) == []
    other = tmp_path / "other.db"
    sqlite3.connect(other).executescript("CREATE TABLE t (x)").close()
    with pytest.raises(ConfigError, match="the storage cannot be read"):
        load_format("optuna").read(str(other))


def test_a_password_is_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        load_format("optuna").read("postgresql://me:sesame@127.0.0.1:1/x")
    assert "sesame" not in str(caught.value)


def test_the_job_learns_from_the_trials_of_the_study(
    storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_file, table = tmp_path / "jobs" / "job.yaml", tmp_path / "known.csv"
    job_file.parent.mkdir()
    command = ["import", str(storage), "--from", "optuna", "--study", "one", "-o", str(job_file), "--force"]
    assert run_app([*command, "--trials", str(table)]) == 0
    assert "known.csv: 8 trials" in capsys.readouterr().err
    job = TuningJob.from_yaml(job_file)
    assert job.warm_start is not None
    assert job.warm_start.table == "../known.csv"
    known = known_trials(job, tmp_path, job_file.parent)
    study = optuna.load_study(study_name="one", storage=f"sqlite:///{storage}")
    for each, trial in zip(known, study.trials, strict=True):
        assert each.parameters == {name: pytest.approx(value) if isinstance(value, float) else value for name, value in trial.params.items()}  # fmt: skip
    assert [each.metrics["value"] for each in known] == [trial.value for trial in study.trials]
    assert len(observations(known, job.search_space(), job.objective, transfer=False)) == 8
    assert len(list(csv.DictReader(table.open()))) == 8
    assert run_app(command) == 0
    assert "note: 8 finished trials: --trials known.csv lets the job learn from them" in capsys.readouterr().err


def test_enqueued_trials_that_none_has_run_come_first() -> None:
    study = studied(branching, 20)
    study.enqueue_trial({"kernel": "poly", "degree": 3})
    study.enqueue_trial({"C": 1e9})
    study.enqueue_trial({"kernel": "rbf"})
    imported = job_from_study(study)
    assert imported.job.first == ({"kernel": "poly", "degree": 3}, {"kernel": "rbf"})
    notes = [str(note) for note in imported.notes]
    assert "enqueued trials: they are its 2 first trials (first)" in notes
    assert any(note.startswith("enqueued trials: {'C': 1000000000.0} is left out: C: ") for note in notes), notes
    assert not any("did not complete" in note for note in notes)
