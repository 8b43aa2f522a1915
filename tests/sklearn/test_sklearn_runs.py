"""Searches as runs: rules, limits, progress, interrupts, resumes, workers that stay, and services."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from late import LATE

if LATE:
    pytest.importorskip("sklearn")
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.datasets import load_iris
    from sklearn.exceptions import FitFailedWarning
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC
    from sklearn_results import assert_same_results

    from cloudtune.sklearn import TuneSearchCV
    from cloudtune.sklearn.evaluating import Decoding, Evaluation, reported_metrics
    from cloudtune.sklearn.folds import FoldLauncher
    from cloudtune.sklearn.running import thread_limits

    DATA, TARGET = load_iris(return_X_y=True)

    class Told(ClassifierMixin, BaseEstimator):
        """Scores what it is told to, and writes down each fit."""

        def __init__(self, score: float = 0.0, diary: str = "", wait: str = "", slow: float = 0.0) -> None:
            self.score_, self.score = self._scored, score
            self.diary, self.wait, self.slow = diary, wait, slow

        def fit(self, data: Any, target: Any) -> Told:
            self.classes_ = np.unique(target)
            if self.diary:
                with Path(self.diary).open("a") as file:
                    file.write(f"{self.score}\n")
            while self.wait and not Path(self.wait).exists():
                time.sleep(0.01)
            time.sleep(self.slow)
            return self

        def _scored(self, data: Any, target: Any) -> float:
            return self.score

    class WhoIsIt(Told):
        """Tells the process that its workers stem from."""

        def _keeper(self) -> float:
            return float(os.getppid())


sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]  # for processes of their own


from cloudtune import Float, api
from cloudtune.cli.app import run_app
from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.errors import ConfigError, TrialError
from cloudtune.results.progress import Progress
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune_local import spare

pytestmark = pytest.mark.xdist_group("scikit-learn")  # whose workers are started once


@pytest.fixture(autouse=True)
def _one_environment(_no_config_of_the_user: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests share their workers, as the searches of one process do, for which they need the same environment."""
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, "/nonexistent")


def as_told(estimator: Told, data: Any, target: Any) -> float:
    return estimator.score


# Rules and limits


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.complete)])
def test_a_pruned_candidate_has_the_scores_of_the_folds_that_it_saw(n_jobs: int, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    scores = [0.9, 0.8, 0.7, 0.6, *[0.1 + index / 100 for index in range(8)]]
    search = TuneSearchCV(
        Told(diary=str(diary), slow=0.02), {"score": scores}, cv=4, n_jobs=n_jobs, scoring=as_told, refit=False,
        stopping={"type": "median", "grace": 1},
    ).fit(DATA, TARGET)  # fmt: skip
    results, counts = search.cv_results_, search.run_.counts()
    assert counts["pruned"] >= 4
    assert counts["pruned"] + counts["completed"] == len(results["params"]) == 12
    folds = np.array([results[f"split{split}_test_score"] for split in range(4)])
    for trial, seen in zip(search.run_.trials(), folds.T, strict=True):
        assert trial.state in (TrialState.PRUNED, TrialState.COMPLETED)
        known = ~np.isnan(seen)
        assert (seen[known] == scores[trial.number]).all()
        assert known.all() or trial.state is TrialState.PRUNED
        assert known[: known.sum()].all()  # in the order of the folds
    assert len(diary.read_text().splitlines()) < 48
    assert search.best_params_ == {"score": 0.9}
    assert results["rank_test_score"][0] == 1


def test_a_target_ends_the_search_and_progress_is_told() -> None:
    seen: list[Progress] = []
    search = TuneSearchCV(
        Told(), {"score": [0.1, 0.2, 0.95, *[0.3] * 20]}, cv=2, scoring=as_told, limits={"target": 0.9}, callbacks=seen.append
    ).fit(DATA, TARGET)  # fmt: skip
    assert search.run_.state is RunState.COMPLETED
    assert 3 <= len(search.cv_results_["params"]) <= 4
    assert search.best_score_ == 0.95
    assert seen[-1].state is RunState.COMPLETED
    assert seen[-1].total == 23
    assert seen[-1].best.number == 2


def test_a_candidate_that_takes_too_long_is_given_up(recwarn: pytest.WarningsRecorder) -> None:
    def tried(limit: str, *slow: float) -> TuneSearchCV:
        return TuneSearchCV(
            Told(), {"slow": list(slow)}, cv=2, n_jobs=2, limits={"trial_time": limit}, scoring=as_told, refit=False
        ).fit(DATA, TARGET)  # fmt: skip

    tried("1m", 0.0, 0.01)  # which starts the workers, in whatever time that takes
    search = tried("5s", 0.0, 600.0)
    assert list(np.isnan(search.cv_results_["mean_test_score"])) == [False, True]
    assert "it ran longer than 5s (limits.trial_time)" in search.run_.trial(1).reason
    assert any("limits.trial_time" in str(each.message) for each in recwarn)


def test_several_scores_of_which_none_decides_are_all_aimed_at() -> None:
    search = TuneSearchCV(
        SVC(), {"C": Float(low=0.1, high=10)}, n_iter=3, cv=2, scoring=["accuracy", "f1_macro"], refit=False
    ).fit(DATA, TARGET)  # fmt: skip
    assert [objective.metric for objective in search.run_.job.objective] == ["mean_test_accuracy", "mean_test_f1_macro"]
    assert search.run_.front


def test_a_search_learns_from_earlier_runs_and_its_report_can_be_written(tmp_path: Path) -> None:
    space = {"C": Float(low=0.01, high=10, scale="log")}
    first = TuneSearchCV(SVC(), space, n_iter=4, cv=2, project=tmp_path, random_state=1).fit(DATA, TARGET)
    second = TuneSearchCV(
        SVC(), space, n_iter=3, cv=2, project=tmp_path, warm_start_from=first.run_id_, random_state=1
    ).fit(DATA, TARGET)  # fmt: skip
    assert any("learnt from 4 of 4 trials" in event for _, _, event in second.run_.events())
    known = {each["C"] for each in first.cv_results_["params"]}
    assert known.isdisjoint(each["C"] for each in second.cv_results_["params"])
    assert "svc-" in second.run_.report(tmp_path / "report.html").read_text()
    assert [record.id for record in api.runs(project=tmp_path)] == [second.run_id_, first.run_id_]


# Interrupts and resumes


def kept(folder: Path, n_jobs: int) -> TuneSearchCV:
    """A search whose run is kept, and whose fits wait until there is a file ``go``."""
    return TuneSearchCV(
        Told(diary=str(folder / "diary"), wait=str(folder / "go")), {"score": [0.1, 0.2, 0.3, 0.4]}, cv=2, n_jobs=n_jobs,
        scoring=as_told, refit=False, project=folder, run_id="kept",
    )  # fmt: skip


HERE = Path(__file__).parent


def fit_and_end(folder: Path, n_jobs: int, number: int) -> str:
    """Fits that search in a process that gets a signal after its first fit has begun; returns what it said."""
    code = (
        f"import pathlib, test_sklearn_runs as t; t.kept(pathlib.Path({str(folder)!r}), {n_jobs}).fit(t.DATA, t.TARGET)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "support")])}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment)
    until = time.monotonic() + 60
    while not (folder / "diary").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=100)
    assert process.returncode != 0
    assert api.attach("kept", project=folder).state is RunState.INTERRUPTED, said
    (folder / "go").touch()
    return said


@pytest.mark.parametrize(
    ("n_jobs", "number"), [(1, signal.SIGINT), pytest.param(2, signal.SIGKILL, marks=pytest.mark.complete)]
)
def test_a_search_that_was_ended_goes_on_with_the_candidates_that_are_left(
    tmp_path: Path, n_jobs: int, number: int
) -> None:
    said = fit_and_end(tmp_path, n_jobs, number)
    assert number == signal.SIGKILL or "KeyboardInterrupt" in said
    search = kept(tmp_path, n_jobs).fit(DATA, TARGET)
    assert search.best_params_ == {"score": 0.4}
    assert search.run_.counts() == {"completed": 4}
    assert [trial.metrics["mean_test_score"] for trial in search.run_.trials()] == [0.1, 0.2, 0.3, 0.4]
    assert not list(search.run_.folder.glob("*.pkl"))  # nothing of the data stays
    fits = (tmp_path / "diary").read_text()
    assert kept(tmp_path, n_jobs).fit(DATA, TARGET).cv_results_["params"] == search.cv_results_["params"]
    assert (tmp_path / "diary").read_text() == fits  # what is done is not done again


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.complete)])
def test_the_command_line_can_finish_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_jobs: int) -> None:
    fit_and_end(tmp_path, n_jobs, signal.SIGKILL)
    monkeypatch.chdir(tmp_path)
    assert run_app(["resume", "kept", "--quiet"]) in (0, None)
    fits = (tmp_path / "diary").read_text()
    assert kept(tmp_path, n_jobs).fit(DATA, TARGET).best_params_ == {"score": 0.4}
    assert (tmp_path / "diary").read_text() == fits


def test_ctrl_c_lets_running_candidates_end_and_says_how_to_go_on(tmp_path: Path) -> None:
    def press(progress: Progress) -> None:
        if progress.counts.get("completed") and not pressed.is_set():
            pressed.set()
            os.kill(os.getpid(), signal.SIGINT)

    pressed = threading.Event()
    search = TuneSearchCV(
        Told(slow=0.15), {"score": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}, cv=2, n_jobs=2, scoring=as_told, refit=False,
        project=tmp_path, run_id="kept", callbacks=[press],
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt, match="fit with run_id='kept' to go on"):
        search.fit(DATA, TARGET)
    done = search.run_.counts()["completed"]
    assert 1 <= done < 6
    assert "failed" not in search.run_.counts()
    assert search.fit(DATA, TARGET).best_params_ == {"score": 0.6}


def test_a_run_of_another_search_is_not_taken_for_this_one(tmp_path: Path) -> None:
    def search(**options: Any) -> TuneSearchCV:
        given = {"estimator": SVC(), "space": {"C": [1, 2]}, "cv": 2, "project": tmp_path, "run_id": "one", **options}
        return TuneSearchCV(**given)

    first = search().fit(DATA, TARGET)
    assert search().fit(DATA, TARGET).best_score_ == first.best_score_
    for other in ({"space": {"C": [1, 3]}}, {"estimator": SVC(gamma=1)}, {"cv": 3}, {"scoring": "f1_macro"}):
        with pytest.raises(ConfigError, match="the run one is of another search"):
            search(**other).fit(DATA, TARGET)
    with pytest.raises(ConfigError, match="another search"):
        search().fit(DATA + 1, TARGET)


def test_with_errors_raised_a_crash_is_told_as_one() -> None:
    class Crashing(Told):
        def fit(self, data: Any, target: Any) -> Told:
            os.kill(os.getpid(), signal.SIGKILL)
            return self

    with pytest.raises(TrialError, match="candidate 0 of crashing-.*SIGKILL"):
        TuneSearchCV(Crashing(), {"score": [1.0]}, cv=2, n_jobs=2, error_score="raise").fit(DATA, TARGET)


# Folds and workers


class Crew(Launcher):
    """Runs nothing: the test says what happens."""

    def __init__(self) -> None:
        self.launched: list[Trial] = []
        self.stopped: list[int] = []
        self.happening: list[Report | Ended] = []

    def launch(self, trial: Trial) -> None:
        self.launched.append(trial)

    def adopt(self, trial: Trial) -> bool:
        return False

    def poll(self, timeout: float) -> list[Report | Ended]:
        happened, self.happening = self.happening, []
        return happened

    def stop(self, number: int) -> None:
        self.stopped.append(number)

    def close(self) -> None:
        return

    def done(self, number: int, score: float) -> None:
        self.happening += [Report(number, 1, 1, 0.0, {"test_score": score}), Ended(number, 1)]


def fold_launcher(crew: Crew, folds: int, size: int, *, in_turn: bool = False) -> FoldLauncher:
    evaluation = Evaluation(None, None, None, [(0, 0)] * folds, Decoding(), ["mean_test_score"], {}, {})
    return FoldLauncher(
        crew, size, evaluation, Path("/nowhere"), in_turn=in_turn, limit=None, on_output=lambda *_: None
    )


def test_folds_are_told_in_order_whatever_the_order_of_their_ends() -> None:
    crew = Crew()
    launcher = fold_launcher(crew, folds=3, size=3)
    launcher.launch(Trial(5, {"C": 1}, attempt=1))
    assert [trial.number for trial in crew.launched] == [15, 16, 17]
    crew.done(17, 3.0)
    assert launcher.poll(0) == []
    crew.done(15, 1.0)
    crew.done(16, 2.0)
    *reports, end = launcher.poll(0)
    assert [(report.number, report.step, report.metrics["mean_test_score"]) for report in reports] == [
        (5, 1, 1.0), (5, 2, 1.5), (5, 3, 2.0)
    ]  # fmt: skip
    assert end == Ended(5, 1)


@pytest.mark.parametrize(("in_turn", "order"), [(False, [0, 1, 2, 3]), (True, [0, 2, 1, 3])])
def test_folds_begin_trial_by_trial_or_in_turn(in_turn: bool, order: list[int]) -> None:
    crew = Crew()
    launcher = fold_launcher(crew, folds=2, size=1, in_turn=in_turn)
    launcher.launch(Trial(0, {}, attempt=1))
    if in_turn:
        launcher = fold_launcher(crew := Crew(), folds=2, size=2, in_turn=True)
        launcher.launch(Trial(0, {}, attempt=1))
        assert [trial.number for trial in crew.launched] == [0, 1]  # nobody else is there
        launcher.launch(Trial(1, {}, attempt=1))
        crew.done(0, 1.0)
        launcher.poll(0)
        assert crew.launched[-1].number == 2  # trial 0 has a fold that runs
        return
    launcher.launch(Trial(1, {}, attempt=1))
    for number in order:
        assert crew.launched[-1].number == number
        crew.done(number, 1.0)
        launcher.poll(0)


def test_a_fold_that_breaks_down_ends_its_trial_and_a_stop_ends_those_that_run() -> None:
    crew = Crew()
    launcher = fold_launcher(crew, folds=4, size=2)
    launcher.launch(Trial(0, {}, attempt=1))
    crew.happening = [Ended(0, 1, "no luck", retry=True)]
    assert launcher.poll(0) == []
    assert crew.stopped == [1]
    crew.happening = [Ended(1, 1, "killed")]
    assert launcher.poll(0) == [Ended(0, 1, "no luck", retry=True)]
    launcher.launch(Trial(1, {}, attempt=1))
    launcher.stop(1)
    assert crew.stopped == [1, 4, 5]
    crew.happening = [Ended(4, 1, "killed"), Ended(5, 1, "killed")]
    assert [happening.number for happening in launcher.poll(0)] == [1]


def test_a_candidate_that_is_stopped_between_two_folds_has_not_ended_well() -> None:
    crew = Crew()
    launcher = fold_launcher(crew, folds=2, size=1, in_turn=True)
    launcher.launch(Trial(0, {}, attempt=1))
    launcher.launch(Trial(1, {}, attempt=1))
    crew.done(0, 1.0)
    launcher.poll(0)  # trial 0 has its fold and its report, and of its second fold the crew has said nothing
    launcher.stop(0)
    crew.happening = [Ended(1, 1)]  # which ended well in spite of the stop, and said nothing
    (end,) = launcher.poll(0)
    assert isinstance(end, Ended)
    assert (end.number, end.lost, bool(end.failure)) == (0, True, True)


def test_the_mean_is_of_the_folds_so_far_also_under_names_of_ones_own() -> None:
    folds = [{"test_a": 1.0, "fit_time": 9.0}, {"test_a": 2.0, "fit_time": 9.0}]
    assert reported_metrics(["mean_test_a"], folds)["mean_test_a"] == 1.5
    assert reported_metrics(["mean_test_score"], folds)["mean_test_score"] == 1.5


def test_workers_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    limits = thread_limits(3)
    assert limits["OMP_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in limits  # the user has said it
    assert thread_limits(16)["OMP_NUM_THREADS"] == "1"


def keeper_of(estimator: WhoIsIt, data: Any, target: Any) -> float:
    return estimator._keeper()


def test_the_next_search_has_the_workers_of_the_last_unless_the_environment_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def keeper() -> float:
        search = TuneSearchCV(WhoIsIt(), {"score": [0.0, 1.0]}, cv=2, n_jobs=2, scoring=keeper_of, refit=False)
        scores = search.fit(DATA, TARGET).cv_results_["mean_test_score"]
        assert scores[0] == scores[1] != os.getpid()
        return float(scores[0])

    first = keeper()
    assert keeper() == first
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    other = keeper()
    assert other != first
    assert keeper() == other
    os.kill(int(other), signal.SIGKILL)
    assert keeper() != other
    spare.release()
    assert not spare._spares


# Places


def test_without_scikit_learn_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['sklearn'] = None\ntry:\n    import cloudtune.sklearn\nexcept ValueError as e: print(type(e).__name__, e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigError cloudtune.sklearn needs scikit-learn; install it with: pip install ")
    assert "[sklearn]" in done.stdout


def test_this_machine_by_its_name_keeps_the_run_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cloudtune.toml").write_text('[profiles.laptop]\nprovider = "local"\n')
    monkeypatch.chdir(tmp_path)
    search = TuneSearchCV(SVC(), {"C": [1, 2]}, cv=2, on="laptop").fit(DATA, TARGET)
    (record,) = api.runs(project=tmp_path)
    assert (record.id, record.profile, record.state) == (search.run_id_, "laptop", RunState.COMPLETED)


@pytest.mark.timeout(240)
def test_a_service_gives_the_same_results(tmp_path: Path) -> None:
    pytest.importorskip("moto")
    grid = [{"C": [-1.0], "kernel": ["rbf"]}, {"C": np.array([1.0])}]
    common: dict[str, Any] = {
        "cv": 2,
        "scoring": ["accuracy", "f1_macro"],
        "refit": "f1_macro",
        "return_train_score": True,
    }
    with pytest.warns(FitFailedWarning):
        theirs = GridSearchCV(SVC(), grid, **common).fit(DATA, TARGET)
    with pytest.warns(FitFailedWarning, match=r"(?s)2 fits failed.*The 'C' parameter of SVC must be"):
        ours = TuneSearchCV(SVC(), grid, on="aws", emulate=True, n_jobs=2, project=tmp_path, **common).fit(DATA, TARGET)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert ours.best_params_ == theirs.best_params_
    assert ours.run_.record.provider == "sagemaker"
    assert (ours.predict(DATA) == theirs.predict(DATA)).all()


def test_what_a_service_cannot_record_is_refused(tmp_path: Path) -> None:
    evaluation = Evaluation(None, None, None, [], Decoding(), [], {}, {}, recorded=["test_score"])
    evaluation._check_recorded({"test_score": 1.0})
    with pytest.raises(ValueError, match="a service does not record test_mine.*give scoring as a mapping"):
        evaluation._check_recorded({"test_mine": 1.0})
