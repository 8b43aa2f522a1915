"""TuneSearchCV, a hyperparameter search as an estimator of scikit-learn."""

# ruff: noqa: N803, N806  # X is what scikit-learn calls the data

import numbers
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn import get_config
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _warn_or_raise_about_fit_failures
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import _check_method_params, check_is_fitted

from cloudtune import api
from cloudtune.driver.limits import UNCAPPED
from cloudtune.errors import CloudtuneError, RunNotFound, TrialError
from cloudtune.run import Run
from cloudtune.sklearn.callbacks import Tasks, together
from cloudtune.sklearn.evaluating import Evaluation
from cloudtune.sklearn.jobs import DEFAULT_TRIALS, candidate_count, objectives, patterns, search_job, strategy_of
from cloudtune.sklearn.results import Candidate, candidates
from cloudtune.sklearn.running import Outcome, Place, TemporaryStore
from cloudtune.sklearn.spaces import SearchSpace
from cloudtune.space.parameters import SpecModel
from cloudtune.spec.job import Limits, TuningJob
from cloudtune.store.records import RunState, TrialState


class NoRun(RunNotFound, AttributeError):
    """The run of a search does not exist any more; an AttributeError too, which scikit-learn handles."""


class TuneSearchCV(BaseSearchCV):  # type: ignore[misc]  # scikit-learn has no types
    """A cross-validated search for an estimator's parameters, with any strategy, on this machine or any service.

    It replaces `GridSearchCV` and `RandomizedSearchCV`: the same attributes, with the same keys, types and values in
    `cv_results_`. Every candidate is a trial of a run of cloudtune (`run_`), each fold one of its steps.

    Args:
        estimator: the estimator to tune.
        space: a dictionary from names of parameters (nested ones as ``clf__C``) to lists of values (any objects),
            distributions of scipy.stats, or parameters such as ``Float(low=1e-3, high=1e3, scale="log")``; or a list
            of such dictionaries, of which each candidate uses one.
        param_grid: `space` under its name in `GridSearchCV`; give one of the three.
        param_distributions: `space` under its name in `RandomizedSearchCV`.
        strategy: ``"grid"``, ``"random"``, ``"bayesian"`` or another type of the spec's strategies, or a strategy with
            its settings; None for every combination, as of `GridSearchCV`, if there are only lists and no `n_iter`,
            else for ``"bayesian"``.
        n_iter: the number of candidates; None for all of a grid, else for 10.
        scoring: as for `GridSearchCV`: a name, a function, or several of them. A larger score is a better one.
        n_jobs: the number of processes of this machine that fit folds, or of candidates that a service runs in
            parallel. None means 1, in this process, unless in a `joblib.parallel_config`; -1 means all processors of
            this machine.
        refit: as for `GridSearchCV`: whether to fit the best parameters on all data; the name of the score that
            decides; or a function that chooses from `cv_results_`. Where several scores are given and none decides,
            the search aims at all of them.
        cv: as for `GridSearchCV`: how to split.
        verbose: as for `GridSearchCV`: how much to print.
        pre_dispatch: accepted for compatibility with `GridSearchCV`; without effect, since folds are launched one by
            one.
        random_state: the seed of the strategy, unless the strategy has its own.
        error_score: the score of a fold whose fit fails; ``"raise"`` raises the fit's exception and ends the search.
        return_train_score: whether to score the training samples, too.
        stopping: a rule that prunes candidates after some of their folds, such as ``{"type": "median"}``. Folds that
            were not evaluated are NaN in `cv_results_`.
        limits: when to end, such as ``{"time": "1h", "target": 0.99}``; see `cloudtune.spec.job.Limits`. In this
            process (`n_jobs` 1) they are checked between folds.
        warm_start_from: ids of earlier runs of the project to learn from.
        on: a profile, a provider or an alias (``"aws"``); None for this machine. The data and the estimator travel to
            a service with the trials, whose image needs scikit-learn.
        emulate: whether to run in an emulator of the service.
        project: the folder that keeps the run. None for a temporary one, which is removed with this object, or, with
            `on`, `run_id` or `warm_start_from`, for the project of the working folder.
        run_id: the run's id; fitting with the id of an interrupted run resumes it.
        callbacks: functions that are called with the progress (`cloudtune.results.progress.Watcher`). Callbacks of
            scikit-learn are set by `set_callbacks`.
        job: further fields of the job, such as ``{"compute": {"instance": "ml.m5.large"}}``.

    Attributes:
        run_: the run: its trials, logs and report.
        run_id_: its id.
        cv_results_: as of `GridSearchCV`, as are `best_estimator_`, `best_score_`, `best_params_`, `best_index_`, `scorer_`,
            `n_splits_`, `refit_time_`, `multimetric_`, `classes_`, `n_features_in_` and `feature_names_in_`. Candidates
            that were cancelled by the run's end are not in it.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSearchCV._parameter_constraints,  # noqa: SLF001  # as every search of scikit-learn does
        "space": [dict, list, tuple, None],
        "param_grid": [dict, list, tuple, None],
        "param_distributions": [dict, list, tuple, None],
        "strategy": [str, dict, SpecModel, None],
        "n_iter": [numbers.Integral, None],
        "random_state": ["random_state"],
        "stopping": [dict, SpecModel, None],
        "limits": [dict, Limits, None],
        "warm_start_from": ["array-like", str, None],
        "on": [str, None],
        "emulate": ["boolean"],
        "project": [str, os.PathLike, None],
        "run_id": [str, None],
        "callbacks": [list, tuple, callable],
        "job": [dict, None],
    }

    def __init__(  # noqa: PLR0913  # scikit-learn's arguments, and our own beside them
        self,
        estimator: Any,
        space: Any = None,
        *,
        param_grid: Any = None,
        param_distributions: Any = None,
        strategy: Any = None,
        n_iter: int | None = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        stopping: Any = None,
        limits: Any = None,
        warm_start_from: Any = None,
        on: str | None = None,
        emulate: bool = False,
        project: Any = None,
        run_id: str | None = None,
        callbacks: Any = (),
        job: Any = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.space = space
        self.param_grid = param_grid
        self.param_distributions = param_distributions
        self.strategy = strategy
        self.n_iter = n_iter
        self.random_state = random_state
        self.stopping = stopping
        self.limits = limits
        self.warm_start_from = warm_start_from
        self.on = on
        self.emulate = emulate
        self.project = project
        self.run_id = run_id
        self.callbacks = callbacks
        self.job = job

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def fit(self, X: Any, y: Any = None, **params: Any) -> "TuneSearchCV":
        """Search, and fit the estimator with the best parameters on all data.

        Args:
            X: of shape (samples, features), or (samples, samples) for a precomputed kernel or distance.
            y: of shape (samples,) or (samples, outputs); None for unsupervised learning.
            **params: for the estimator's `fit`, the scorer and the splitter, as of `GridSearchCV`: arrays as long as
                `X` are split with it, and ``groups`` goes to the splitter.

        Raises:
            ValueError: all fits failed, or the run ended before any candidate.
            SpecError: an argument is not valid (also a ValueError).
            TrialError: a candidate failed, and `error_score` is "raise".
            KeyboardInterrupt: the user pressed Ctrl-C. A run that is kept can be resumed; the message says how.
        """
        scorer, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        tasks = self._tasks(X, y, params)
        names = _names(scorer, self.scoring)
        place = self._place()
        splits = self._split(X, y, routed.splitter.split)
        strategy, space = strategy_of(
            self.strategy, self._space(), n_iter=self.n_iter, seed=self._seed(), folds=len(splits)
        )
        aims = objectives(names, self.refit)
        evaluation = Evaluation(
            estimator=clone(self.estimator),
            X=X,
            y=y,
            splits=splits,
            decoding=space.decoding,
            objectives=aims,
            options=self._options(scorer, routed),
            config=get_config(),
            filters=tuple(warnings.filters),
            recorded=None if place.here else tuple(patterns(names, train=self.return_train_score)),
        )
        job = self._job(place, strategy, space, aims, names)
        found = self._search(place, job, evaluation, names, tasks)
        refit_metric = self._check_scores(found, refit_metric)
        self.cv_results_ = self._results(found)
        self._choose(refit_metric)
        if self.refit:
            self._fit_best(X, y, routed.estimator.fit, tasks)
        self.scorer_ = scorer._scorers if isinstance(scorer, _MultimetricScorer) else scorer  # noqa: SLF001  # as in scikit-learn
        tasks.end()
        return self

    @property
    def run_(self) -> Run:
        """The run, whose trials are the candidates.

        Raises:
            NotFittedError: the search has not been fitted.
            RunNotFound: it was in a temporary folder, which was removed with the fitted search.
        """
        check_is_fitted(self, "run_id_")
        if not Path(self._project).is_dir():
            raise NoRun(f"the run {self.run_id_} has gone with its passing folder; give project= to keep runs")
        try:
            return api.attach(self.run_id_, project=Path(self._project))
        except CloudtuneError as error:
            raise NoRun(str(error)) from error

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickles and copies, without the object that removes the temporary folder."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_temporary"}

    # Preparation

    def _tasks(self, X: Any, y: Any, params: Mapping[str, Any]) -> Tasks:
        weight = params.get("sample_weight")
        about = {"X": X, "y": y, "metadata": None if weight is None else {"sample_weight": weight}}
        has_callbacks = hasattr(self, "_init_callback_context")  # since scikit-learn 1.9
        root = self._init_callback_context(max_subtasks=1 + (self.refit is not False)) if has_callbacks else None
        return Tasks(self, root, about)

    def _place(self) -> Place:
        kept = any(given is not None for given in (self.on, self.project, self.run_id, self.warm_start_from))
        self._temporary = None if kept else TemporaryStore()
        temporary = None if self._temporary is None else self._temporary.path
        place = Place.of(self.on, None if self.project is None else Path(self.project), temporary)
        self._project = str(place.project)
        return place

    def _space(self) -> Any:
        """Return the space from whichever of its three arguments is given.

        Raises:
            TypeError: none, or more than one, of them is given.
        """
        names = ("space", "param_grid", "param_distributions")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            what = " and ".join(given) if given else "nothing to vary"
            raise TypeError(f"TuneSearchCV was given {what}; give one of {', '.join(names)}")
        return getattr(self, given[0])

    def _seed(self) -> int | None:
        if self.random_state is None or isinstance(self.random_state, numbers.Integral):
            return None if self.random_state is None else int(self.random_state) % 2**31
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _split(self, X: Any, y: Any, params: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        cv: BaseCrossValidator = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self.n_splits_ = cv.get_n_splits(X, y, **params)
        splits = list(cv.split(X, y, **params))
        if len(splits) != self.n_splits_:
            raise ValueError(f"cv gives {len(splits)} splits where cv.get_n_splits promises {self.n_splits_}")
        if not splits:
            raise ValueError("No fits were performed: cv gives no splits")
        return splits

    def _options(self, scorer: Any, routed: Any) -> dict[str, Any]:
        """Return the arguments of scikit-learn's ``_fit_and_score`` that all folds share."""
        return {
            "scorer": scorer,
            "fit_params": routed.estimator.fit,
            "score_params": routed.scorer.score,
            "return_train_score": self.return_train_score,
            "error_score": self.error_score,
            "verbose": self.verbose,
        }

    def _job(
        self,
        place: Place,
        strategy: Mapping[str, Any],
        space: SearchSpace,
        aims: Sequence[str],
        names: Sequence[str] | None,
    ) -> TuningJob:
        grid = strategy.get("type") == "grid"
        trials = self.n_iter if self.n_iter is not None or grid else DEFAULT_TRIALS
        limits = {} if trials is None else {"trials": trials}
        limits["failed"] = 1 if self.error_score == "raise" else UNCAPPED
        few_parallel = self.stopping is None and strategy.get("type") != "hyperband"
        return search_job(
            type(self.estimator).__name__,
            {
                "objective": [{"metric": aim, "goal": "maximize"} for aim in aims],
                "metrics": patterns(names, train=self.return_train_score),
                "space": space.entries,
                "strategy": strategy,
                "limits": limits,
            },
            place.fields(self.n_jobs, folds=self.n_splits_, few_parallel=few_parallel),
            {
                "stopping": self.stopping,
                "limits": self.limits,
                "warm_start": [self.warm_start_from] if isinstance(self.warm_start_from, str) else self.warm_start_from,
            },
            self.job or {},
        )

    # The search

    def _search(
        self, place: Place, job: TuningJob, evaluation: Evaluation, names: Sequence[str] | None, tasks: Tasks
    ) -> list[Candidate]:
        """Run the search and return the candidates that were evaluated.

        Raises:
            ValueError: no candidate was evaluated.
        """
        total = candidate_count(job)
        if self.verbose > 0:
            many = "as many candidates as the limits allow" if total is None else f"{total} candidates"
            fits = "" if total is None else f", totalling {total * self.n_splits_} fits"
            print(f"Fitting {self.n_splits_} folds for each of {many}{fits}", flush=True)
        tasks.begin_search(total, evaluation, here=place.here)
        watchers = [tasks, *([self.callbacks] if callable(self.callbacks) else self.callbacks)]
        outcome = place.run(
            job, evaluation, n_jobs=self.n_jobs, run_id=self.run_id, watcher=together(watchers), emulate=self.emulate
        )
        self.run_id_ = outcome.run.id
        self._raise_for(outcome, kept=place.kept)
        tasks.end_search()
        found = candidates(
            outcome.run,
            evaluation.decoding,
            splits=self.n_splits_,
            names=names,
            error_score=self.error_score,
            train=self.return_train_score,
        )
        if not found:
            raise ValueError(f"No candidate was evaluated to its end: {outcome.run.record.reason or 'the run is over'}")
        return found

    def _raise_for(self, outcome: Outcome, *, kept: bool) -> None:
        """Raise KeyboardInterrupt for an interrupted run, or a failed candidate's error if `error_score` is "raise"."""
        run = outcome.run
        if run.state is RunState.INTERRUPTED:
            again = f"; fit with run_id={run.id!r} to go on" if kept else ""
            raise KeyboardInterrupt(f"the search was interrupted{again}")
        if self.error_score != "raise":
            return
        failed = next((trial for trial in run.trials() if trial.state is TrialState.FAILED), None)
        if failed is not None:
            raise outcome.error or TrialError(f"candidate {failed.number} of {run.id}: {failed.reason}")

    def _check_scores(self, found: Sequence[Candidate], refit_metric: Any) -> Any:
        """Warn of failed fits, and return the score by which the best candidate is chosen.

        Raises:
            ValueError: all fits failed, or `refit` does not say which of several scores decides.
        """
        folds = [fold for candidate in found for fold in candidate.folds]
        _warn_or_raise_about_fit_failures(folds, self.error_score)
        scores = folds[0]["test_scores"]
        self.multimetric_ = isinstance(scores, dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(scores)
            return self.refit
        return refit_metric

    def _results(self, found: Sequence[Candidate]) -> dict[str, Any]:
        with warnings.catch_warnings():
            if any(candidate.pruned for candidate in found):  # their missing scores are expected
                warnings.filterwarnings("ignore", "One or more of the .* scores are non-finite", UserWarning)
            results: dict[str, Any] = self._format_results(
                [candidate.parameters for candidate in found],
                self.n_splits_,
                [fold for candidate in found for fold in candidate.folds],
            )
        return results

    def _choose(self, refit_metric: Any) -> None:
        """Set the attributes of the best candidate, unless there are several scores and no `refit`."""
        if not self.refit and self.multimetric_:
            return
        results = self.cv_results_
        self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
        if not callable(self.refit):
            self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
        self.best_params_ = results["params"][self.best_index_]

    def _fit_best(self, X: Any, y: Any, params: Mapping[str, Any], tasks: Tasks) -> None:
        """Fit the estimator with the best parameters on all data; estimators among the parameters are cloned before."""
        best = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        self.best_estimator_ = best
        with tasks.refit(best):
            start = time.time()
            if y is None:
                best.fit(X, **params)
            else:
                best.fit(X, y, **params)
            self.refit_time_ = time.time() - start
        if hasattr(best, "feature_names_in_"):
            self.feature_names_in_ = best.feature_names_in_


def _names(scorer: Any, scoring: Any) -> list[str] | None:
    """Return the names of the scorers; [] for a single one without a name; None if a scoring function gives them."""
    if isinstance(scorer, _MultimetricScorer):
        return list(scorer._scorers)  # noqa: SLF001  # there is no public way
    return None if callable(scoring) else []
