"""TuneSearchCV in the place of GridSearchCV and RandomizedSearchCV: an estimator as any, with the very same results."""

from __future__ import annotations

import json
import pickle
import re
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from late import LATE

if LATE:
    pytest.importorskip("sklearn")
    from scipy import sparse, stats
    from sklearn import config_context
    from sklearn.base import BaseEstimator, ClassifierMixin, clone
    from sklearn.datasets import load_breast_cancer, load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.exceptions import FitFailedWarning, NotFittedError
    from sklearn.linear_model import Ridge, RidgeClassifier
    from sklearn.metrics import accuracy_score, make_scorer
    from sklearn.model_selection import (
        GridSearchCV,
        GroupKFold,
        ParameterGrid,
        RandomizedSearchCV,
        ShuffleSplit,
        cross_val_score,
    )
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier
    from sklearn.utils.estimator_checks import check_estimator
    from sklearn_results import assert_same_results

    from cloudtune.sklearn import TuneSearchCV
    from cloudtune.sklearn.callbacks import FoldTasks

    DATA, TARGET = load_iris(return_X_y=True)
    PIPELINE = Pipeline([("scale", StandardScaler()), ("model", SVC())])
    GRIDS = [
        {"model": [SVC()], "model__C": np.logspace(-1, 1, 3), "scale": [None, "passthrough", StandardScaler(), MinMaxScaler()]},
        {"model": [DecisionTreeClassifier(random_state=0)], "model__max_depth": [2, None]},
        {},
    ]  # fmt: skip

    class Fragile(ClassifierMixin, BaseEstimator):
        """Fails as it is told to."""

        def __init__(self, how: str = "well") -> None:
            self.how = how

        def fit(self, data: Any, target: Any) -> Fragile:
            if self.how == "raise" or (self.how == "sometimes" and DATA[0].tolist() not in data.tolist()):
                raise RuntimeError("no luck")
            if self.how == "crash":
                import os
                import signal

                os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "print":
                print("hello from a worker")
            if self.how == "warn":
                warnings.warn("careful", UserWarning, stacklevel=1)
            self.classes_ = np.unique(target)
            return self

        def predict(self, data: Any) -> Any:
            return np.zeros(len(data), dtype=int)


sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]  # for processes of their own


from cloudtune import Float, Int
from cloudtune.errors import ConfigError, RunNotFound, SpecError
from cloudtune.spec.strategies import Random

pytestmark = pytest.mark.xdist_group("scikit-learn")  # whose workers are started once
FITS = pytest.mark.parametrize("n_jobs", [1, 2])


@pytest.fixture(autouse=True)
def _one_environment(_no_config_of_the_user: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests share their workers, as the searches of one process do, for which they need the same environment."""
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, "/nonexistent")


@pytest.mark.filterwarnings("ignore")
def test_a_search_of_a_classifier_passes_scikit_learns_own_checks() -> None:
    check_estimator(TuneSearchCV(RidgeClassifier(), {"alpha": [0.1, 1.0]}, cv=2))


@pytest.mark.complete
@pytest.mark.filterwarnings("ignore")
def test_a_search_of_a_regressor_passes_scikit_learns_own_checks() -> None:
    space = {"alpha": Float(low=0.1, high=10.0, scale="log")}
    search = TuneSearchCV(Ridge(), space, strategy="random", n_iter=2, cv=2, random_state=0)
    theirs = {"check_supervised_y_2d": "DataConversionWarning not caught"}  # as its own searches are expected to fail
    results = check_estimator(search, expected_failed_checks=theirs)
    assert {each["check_name"] for each in results if each["status"] == "xfail"} == set(theirs)


# The same results


def both(estimator: Any, grid: Any, **options: Any) -> tuple[TuneSearchCV, GridSearchCV]:
    fit = options.pop("fit", {})
    data, target = options.pop("data", (DATA, TARGET))
    ours = TuneSearchCV(estimator, grid, **options).fit(data, target, **fit)
    theirs = GridSearchCV(estimator, grid, **{**options, "n_jobs": None}).fit(data, target, **fit)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert vars(ours).keys() >= {name for name in vars(theirs) if name.endswith("_")}
    for name in ("best_index_", "best_score_", "best_params_", "multimetric_", "n_splits_"):
        assert getattr(ours, name, None) == getattr(theirs, name, None), name
    return ours, theirs


def test_the_random_forests_results_are_identical() -> None:
    grid = {"n_estimators": [2, 4, 6], "max_depth": [None, 10], "min_samples_split": [2, 10]}
    ours, theirs = both(
        RandomForestClassifier(random_state=42), grid, cv=3, n_jobs=2, data=load_breast_cancer(return_X_y=True)
    )
    assert len(ours.cv_results_["params"]) == 12
    assert repr(ours.best_estimator_) == repr(theirs.best_estimator_)
    data, target = load_breast_cancer(return_X_y=True)
    assert (ours.predict_proba(data) == theirs.predict_proba(data)).all()
    assert ours.score(data, target) == theirs.score(data, target)
    assert ours.run_.counts() == {"completed": 12}
    assert ours.run_.best.metrics["mean_test_score"] == pytest.approx(ours.best_score_)


@FITS
def test_lists_of_grids_with_estimators_as_values_give_the_same(n_jobs: int) -> None:
    ours, _ = both(PIPELINE, GRIDS, cv=3, n_jobs=n_jobs, return_train_score=True)
    assert ours.cv_results_["params"][0]["model"] is GRIDS[0]["model"][0]
    with pytest.raises(NotFittedError):
        GRIDS[0]["model"][0].predict(DATA)  # only clones were fitted


def named(value: object) -> str:
    """A name of a test's case that is the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


def two_scores(estimator: Any, data: Any, target: Any) -> dict[str, float]:
    return {"right": estimator.score(data, target), "wrong": 1 - estimator.score(data, target)}


def least_wrong(results: dict[str, Any]) -> int:
    return int(np.argmin(results["mean_test_wrong"]))


@FITS
@pytest.mark.parametrize(
    "options",
    [
        {"scoring": "f1_macro"},
        {"scoring": ["accuracy", "f1_macro"], "refit": "f1_macro"},
        {"scoring": {"acc": "accuracy", "loss": "neg_log_loss"}, "refit": False},
        {
            "scoring": {"acc": lambda *given: make_scorer(accuracy_score)(*given)},
            "refit": "acc",
            "return_train_score": True,
        },
        {"scoring": two_scores, "refit": "right"},
        {"scoring": two_scores, "refit": least_wrong},
        {"scoring": lambda estimator, data, target: estimator.score(data, target)},
        {"refit": lambda results: 1},
        {"refit": False},
        {"cv": [(np.arange(0, 150, 2), np.arange(1, 150, 2))]},
    ],
    ids=named,
)
def test_scorers_refits_and_splits_give_the_same(n_jobs: int, options: dict[str, Any]) -> None:
    both(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 3]}, n_jobs=n_jobs, **{"cv": 2, **options})


@FITS
def test_objects_that_score_or_split_give_the_same(n_jobs: int) -> None:
    scored = {"cv": 2, "scoring": {"acc": make_scorer(accuracy_score)}, "refit": "acc", "return_train_score": True}
    for options in (scored, {"cv": ShuffleSplit(2, random_state=3)}):
        both(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 3]}, n_jobs=n_jobs, **options)


def test_frames_sparse_data_and_precomputed_kernels_give_the_same() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(DATA, columns=list("abcd"))
    ours, _ = both(SVC(), {"C": [1, 2]}, cv=2, n_jobs=2, data=(frame, pandas.Series(TARGET)))
    assert list(ours.feature_names_in_) == list("abcd")
    assert ours.n_features_in_ == 4
    both(SVC(), {"C": [1, 2]}, cv=2, data=(sparse.csr_matrix(DATA), TARGET))
    both(SVC(kernel="precomputed"), {"C": [1, 2]}, cv=2, n_jobs=2, data=(DATA @ DATA.T, TARGET))


def test_weights_and_groups_go_where_they_should() -> None:
    weight = np.where(TARGET == 1, 5.0, 0.5)
    both(RidgeClassifier(), {"alpha": [0.1, 1.0]}, cv=2, n_jobs=2, fit={"sample_weight": weight})
    groups = np.arange(150) % 5
    both(RidgeClassifier(), {"alpha": [0.1, 1.0]}, cv=GroupKFold(5), fit={"groups": groups})
    with config_context(enable_metadata_routing=True):
        model = RidgeClassifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        for n_jobs in (1, 2):
            both(model, {"alpha": [0.1, 1.0]}, cv=2, n_jobs=n_jobs, scoring=scorer, fit={"sample_weight": weight})


def warned(body: Callable[[], Any]) -> tuple[Any, list[tuple[type[Warning], str]]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = body()
    return result, [(each.category, re.sub(r"line \d+", "line", str(each.message))) for each in caught]


@FITS
@pytest.mark.parametrize(
    "options", [{}, {"error_score": 0.25}, {"scoring": ["accuracy", "f1_macro"], "refit": "accuracy"}, {"scoring": two_scores, "refit": "right"}], ids=named
)  # fmt: skip
def test_failing_fits_are_scored_and_told_the_same(n_jobs: int, options: dict[str, Any]) -> None:
    grid, common = (
        {"how": ["raise", "well", "sometimes"]},
        {"cv": 3, "n_jobs": n_jobs, "return_train_score": True, **options},
    )
    ours, ours_told = warned(lambda: TuneSearchCV(Fragile(), grid, **common).fit(DATA, TARGET))
    theirs, theirs_told = warned(lambda: GridSearchCV(Fragile(), grid, **{**common, "n_jobs": None}).fit(DATA, TARGET))
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert ours_told == theirs_told
    assert ours_told[0][0] is FitFailedWarning
    assert "4 fits failed out of a total of 9" in ours_told[0][1]
    assert "RuntimeError: no luck" in ours_told[0][1]


@FITS
def test_when_all_fits_fail_it_says_why(n_jobs: int) -> None:
    with pytest.raises(ValueError, match=r"(?s)All the 2 fits failed.*RuntimeError: no luck"):
        TuneSearchCV(Fragile(), {"how": ["raise"]}, cv=2, n_jobs=n_jobs).fit(DATA, TARGET)


@FITS
def test_an_error_that_shall_be_raised_is_and_ends_the_search(n_jobs: int) -> None:
    search = TuneSearchCV(
        Fragile(), {"how": ["well", "raise", *["well"] * 30]}, cv=2, n_jobs=n_jobs, error_score="raise"
    )
    with pytest.raises(RuntimeError, match="^no luck$"):
        search.fit(DATA, TARGET)
    assert search.run_.counts()["failed"] == 1
    assert search.run_.counts().get("completed", 0) < 20


def test_a_crash_costs_its_candidate_alone() -> None:
    search, told = warned(
        lambda: TuneSearchCV(Fragile(), {"how": ["well", "crash", "well"]}, cv=2, n_jobs=2).fit(DATA, TARGET)
    )
    assert list(np.isnan(search.cv_results_["mean_test_score"])) == [False, True, False]
    assert "SIGSEGV" in told[0][1]
    assert search.best_index_ == 0


def test_what_workers_print_and_warn_of_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    search = TuneSearchCV(Fragile(), {"how": ["print", "warn"]}, cv=2, n_jobs=2, verbose=2, refit=False).fit(
        DATA, TARGET
    )
    told = capsys.readouterr().out
    assert told.startswith("Fitting 2 folds for each of 2 candidates, totalling 4 fits\n")
    assert told.count("hello from a worker") == 2
    assert told.count("[CV] END") == 4
    assert told.count("UserWarning: careful") == 2
    assert list(search.run_.logs(0)).count("hello from a worker") == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        TuneSearchCV(Fragile(), {"how": ["warn"]}, cv=2, n_jobs=2, refit=False).fit(DATA, TARGET)
    assert "careful" not in capsys.readouterr().out


def test_the_example_searches_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(__file__).parents[2] / "examples" / "random_forest" / "search_cv.py"
    example = runpy.run_path(str(path))
    assert len(ParameterGrid(example["GRID"])) == 36
    small = {"n_estimators": [2, 4], "max_depth": [None, 2]}
    example["main"](small, candidates=2)
    told = capsys.readouterr().out
    assert told.startswith("all 4 candidates: ")
    assert "2 candidates by a model: " in told
    assert (tmp_path / "report.html").is_file()


# In the place of RandomizedSearchCV


def test_draws_have_the_keys_and_types_of_randomized_search() -> None:
    distributions = {"C": stats.loguniform(1e-2, 1e2), "degree": stats.randint(2, 5), "kernel": ["rbf", "poly"]}
    ours = TuneSearchCV(SVC(), distributions, strategy="random", n_iter=6, cv=2, random_state=1).fit(DATA, TARGET)
    theirs = RandomizedSearchCV(SVC(), distributions, n_iter=6, cv=2, random_state=1).fit(DATA, TARGET)
    assert list(ours.cv_results_) == list(theirs.cv_results_)
    assert [value.dtype for key, value in ours.cv_results_.items() if key != "params"] == [
        value.dtype for key, value in theirs.cv_results_.items() if key != "params"
    ]
    again = TuneSearchCV(SVC(), distributions, strategy=Random(seed=1), n_iter=6, cv=2, n_jobs=2).fit(DATA, TARGET)
    assert again.cv_results_["params"] == ours.cv_results_["params"]
    other = clone(ours).set_params(random_state=np.random.RandomState(5)).fit(DATA, TARGET)
    assert other.cv_results_["params"] != ours.cv_results_["params"]


def test_what_is_searched_without_a_strategy() -> None:
    def kind(space: Any, **options: Any) -> tuple[str, int]:
        search = TuneSearchCV(SVC(), space, cv=2, random_state=0, **options).fit(DATA, TARGET)
        return search.run_.job.strategy.type, len(search.cv_results_["params"])

    assert kind({"C": [1, 2, 3]}) == ("grid", 3)
    assert kind({"C": [1, 2, 3]}, n_iter=2) == ("bayesian", 2)
    assert kind({"C": stats.uniform(1, 3)}) == ("bayesian", 10)
    assert kind({"C": Float(low=1, high=3)}, limits={"trials": 3}) == ("bayesian", 3)
    assert kind({"C": [1, 2, 3]}, strategy="grid", n_iter=2) == ("grid", 2)
    assert kind({"degree": Int(low=2, high=3)}, strategy="grid") == ("grid", 2)
    assert kind({"C": Float(low=1, high=3)}, strategy="hyperband", n_iter=4) == ("hyperband", 4)


# An object as any of scikit-learn's


def test_a_fitted_search_can_be_pickled_cloned_and_nested() -> None:
    search = TuneSearchCV(SVC(), {"C": [1, 10]}, cv=2).fit(DATA, TARGET)
    copy = pickle.loads(pickle.dumps(search))
    assert (copy.predict(DATA) == search.predict(DATA)).all()
    assert copy.run_.id == search.run_.id
    assert not hasattr(clone(search), "cv_results_")
    folder = Path(search.run_.folder)
    assert folder.is_dir()
    del search
    assert not folder.exists()
    with pytest.raises(RunNotFound, match="give project= to keep runs"):
        _ = copy.run_
    scores = cross_val_score(TuneSearchCV(SVC(), {"C": [1, 10]}, cv=2), DATA, TARGET, cv=2)
    assert scores.mean() > 0.9
    assert "TuneSearchCV" in copy._repr_html_()


def test_before_a_fit_there_is_no_run() -> None:
    search = TuneSearchCV(SVC(), {"C": [1, 10]})
    assert not hasattr(search, "run_")
    with pytest.raises(NotFittedError):
        search.predict(DATA)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strategy": "gird"}, SpecError, "strategy.type.*did you mean 'grid'"),
        ({"strategy": {"type": "bayesian", "sed": 1}}, SpecError, "strategy.sed.*did you mean 'seed'"),
        ({"limits": {"trial": 3}}, SpecError, "limits.trial.*did you mean 'trials'"),
        ({"stopping": {"type": "median", "gracee": 1}}, SpecError, "stopping.gracee"),
        ({"job": {"compute": {"x": 1}}}, SpecError, "compute.x"),
        ({"space": {"C": "rbf"}}, SpecError, "space.C: is 'rbf'"),
        ({"space": {"C": Float(low=0, high=1)}, "strategy": "grid"}, SpecError, "space.C: a grid needs a finite axis"),
        ({"on": "nowhere"}, ConfigError, "no profile or provider 'nowhere'"),
        ({"on": "aws", "n_jobs": -1}, ConfigError, "n_jobs=-1 counts the processors of this machine"),
        ({"emulate": True}, ConfigError, "emulate=True needs a service"),
        ({"space": {"C": Float(low=1, high=2), "kernel": ["rbf", "poly"]}, "strategy": {"type": "optuna", "sampler": "Nothing"}}, SpecError, "strategy: .*Nothing"),
        ({"n_jobs": "2"}, ValueError, "'n_jobs' parameter"),
        ({"scoring": ["accuracy", "f1"]}, ValueError, "refit must be set to a scorer key"),
        ({"scoring": two_scores}, ValueError, "refit must be set to a scorer key"),
    ],
    ids=named,
)  # fmt: skip
def test_mistakes_are_told(tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TuneSearchCV(SVC(), **{"space": {"C": [1, 2]}, "project": tmp_path, "cv": 2, **options}).fit(DATA, TARGET)


class Recorder:
    """A callback of scikit-learn's that writes the tasks down in a file, from whichever process they are of."""

    max_propagation_depth = None

    def __init__(self, path: Path) -> None:
        self.path = path

    def setup(self, estimator: Any, context: Any) -> None:
        self._write("setup", context)

    def on_fit_task_begin(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any = None,  # noqa: N803  # their name
        y: Any = None,
        metadata: Any = None,
    ) -> None:
        weight = None if metadata is None else len(metadata["sample_weight"])
        self._write("begin", context, None if X is None else len(X), None if y is None else len(y), weight)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        self._write("end", context)

    def teardown(self, estimator: Any, context: Any) -> None:
        self._write("teardown", context)

    def _write(self, *what: Any) -> None:
        hook, context, *rest = what
        with self.path.open("a") as file:
            file.write(json.dumps([hook, context.task_name, context.task_id, *rest]) + "\n")

    @property
    def tasks(self) -> list[list[Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.complete)])
def test_scikit_learns_callbacks_see_the_search_its_folds_with_their_data_and_the_refit(
    n_jobs: int, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn.callback")
    ours, theirs = Recorder(tmp_path / "ours"), Recorder(tmp_path / "theirs")
    weight = np.ones(len(TARGET))
    for search, recorder in ((TuneSearchCV, ours), (GridSearchCV, theirs)):
        with warnings.catch_warnings():  # an SVC takes no callbacks
            warnings.simplefilter("ignore", UserWarning)
            search(SVC(), {"C": [1, 2, 3]}, cv=2, n_jobs=n_jobs).set_callbacks(recorder).fit(
                DATA, TARGET, sample_weight=weight
            )
    assert sorted(ours.tasks, key=str) == sorted(theirs.tasks, key=str)
    if n_jobs == 1:
        assert ours.tasks == theirs.tasks


def test_callbacks_of_a_process_that_is_gone_are_not_called(tmp_path: Path) -> None:
    pytest.importorskip("sklearn.callback")
    tasks = FoldTasks(search=None, parent=None, _owner=(2**22 + 1, 1.0))
    assert tasks.of(0, 0, 2) == {}


@pytest.mark.complete
@pytest.mark.timeout(600)
def test_scikit_learns_own_tests_of_its_searches_pass() -> None:
    tests, root = "tests/sklearn/sklearn_upstream.py", Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", tests]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20_000:]
