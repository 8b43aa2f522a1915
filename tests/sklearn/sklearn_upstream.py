"""scikit-learn's own tests of its searches, out of the installed wheel, with our search in the place of its two.

`test_sklearn_search` runs this file in a process of its own: to collect it means to load scikit-learn and its tests.
"""

import importlib.util
import inspect
import sys
from types import ModuleType
from typing import Any

import pytest
import sklearn.model_selection
from sklearn.model_selection import GridSearchCV as TheirGrid
from sklearn.model_selection import RandomizedSearchCV as TheirRandomized

from cloudtune.sklearn import TuneSearchCV


class GridSearchCV(TuneSearchCV):
    """`TuneSearchCV` with the signature of scikit-learn's search of a grid."""

    def __init__(
        self, estimator: Any, param_grid: Any, *, scoring: Any = None, n_jobs: Any = None, refit: Any = True, cv: Any = None,
        verbose: Any = 0, pre_dispatch: Any = "2*n_jobs", error_score: Any = float("nan"), return_train_score: Any = False,
    ) -> None:  # fmt: skip
        super().__init__(
            estimator, param_grid=param_grid, scoring=scoring, n_jobs=n_jobs, refit=refit, cv=cv, verbose=verbose,
            pre_dispatch=pre_dispatch, error_score=error_score, return_train_score=return_train_score,
        )  # fmt: skip


class RandomizedSearchCV(TuneSearchCV):
    """`TuneSearchCV` with the signature of scikit-learn's search of random candidates."""

    def __init__(
        self, estimator: Any, param_distributions: Any, *, n_iter: Any = 10, scoring: Any = None, n_jobs: Any = None,
        refit: Any = True, cv: Any = None, verbose: Any = 0, pre_dispatch: Any = "2*n_jobs", random_state: Any = None,
        error_score: Any = float("nan"), return_train_score: Any = False,
    ) -> None:  # fmt: skip
        super().__init__(
            estimator, param_distributions=param_distributions, strategy="random", n_iter=n_iter, scoring=scoring, n_jobs=n_jobs,
            refit=refit, cv=cv, verbose=verbose, pre_dispatch=pre_dispatch, random_state=random_state, error_score=error_score,
            return_train_score=return_train_score,
        )  # fmt: skip

    def _seed(self) -> int | None:
        """Return a seed in any case: whether a test passes does not depend on chance."""
        return 0 if self.random_state is None else super()._seed()


@pytest.fixture(autouse=True, scope="session")
def _no_temporary_folder_is_left_behind() -> None:
    """Check nothing: parameters of their tests are searches, which keep their temporary stores as long as the process lives."""


def _upstream() -> ModuleType:
    """Their module, loaded anew with our classes under their names."""
    path = importlib.util.find_spec("sklearn.model_selection.tests.test_search")
    assert path is not None, "the wheel has no tests"
    assert path.origin is not None
    spec = importlib.util.spec_from_file_location("sklearn_test_search", path.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that what the tests define can be pickled
    sklearn.model_selection.GridSearchCV = GridSearchCV  # type: ignore[misc]
    sklearn.model_selection.RandomizedSearchCV = RandomizedSearchCV  # type: ignore[misc]
    try:
        spec.loader.exec_module(module)
    finally:
        sklearn.model_selection.GridSearchCV = TheirGrid  # type: ignore[misc]
        sklearn.model_selection.RandomizedSearchCV = TheirRandomized  # type: ignore[misc]
    return module


_DIFFERENCES = {
    "test_grid_search_bad_param_grid": "the same exceptions, whose messages name every mistake of the space with its path",
    "test_search_cv_results_rank_tie_breaking": "expects the order in which ParameterSampler draws",
    "test_search_with_2d_array": "expects the draws of ParameterSampler",
    "test_custom_run_search": "compares all fitted attributes, of which ours has two more: run_ and run_id_",
    "test_empty_cv_iterator_error": "the same exception in other words",
    "test_random_search_bad_cv": "the same exception in other words",
}
"""Where their tests and our search differ, and why that is right."""

_LEFT_OUT = {
    "test_array_api_search_cv_classifier": "needs libraries of arrays on other devices",
    "test_search_cv_timing": "expects of a search without a seed that the candidate which fails comes first",
}
"""What is not run, and why."""


def _is_of_a_search(test: Any) -> bool:
    """Return whether a test has to do with our classes at all: its body or its parameters name one."""
    return "searchcv" in inspect.getsource(test).lower()


def _collect(upstream: ModuleType) -> None:
    """Make their tests of searches this module's; what differs must fail, or it is no difference any more."""
    for name, test in vars(upstream).items():
        if name.startswith("test_") and name not in _LEFT_OUT and _is_of_a_search(test):
            reason = _DIFFERENCES.get(name)
            globals()[name] = test if reason is None else pytest.mark.xfail(strict=True, reason=reason)(test)


UPSTREAM = _upstream()
_collect(UPSTREAM)


def test_nearly_all_of_their_tests_of_a_search_are_run() -> None:
    assert sum(name.startswith("test_") for name in globals()) > 60
    assert all(name in globals() for name in _DIFFERENCES)
