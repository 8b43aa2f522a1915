"""Progress for those who watch a search: cloudtune's watchers, and the callbacks that scikit-learn 1.9 has."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
from sklearn.utils.metaestimators import _safe_split

from cloudtune.results.progress import Progress, Watcher
from cloudtune.sklearn.evaluating import Evaluation
from cloudtune.store.records import TrialState

_ENDED = tuple(state.value for state in TrialState if state.ended)

_FOLD_TASK = "candidate-split-evaluation"
"""What scikit-learn's searches call the task of one fold of one candidate (``BaseSearchCV.fit``)."""


@dataclass
class FoldTasks:
    """The tasks of folds, as scikit-learn's callbacks see them, for `Evaluation` to give to ``_fit_and_score``.

    It travels with the evaluation to the workers of this machine, where callbacks send what they learn back to the
    process that fits the search. Where that process is gone (another one resumed the run), there is nobody to call.

    Attributes:
        search: the estimator that is fitted, which hooks get.
        parent: the context of the search's task.
    """

    search: Any
    parent: Any
    _owner: tuple[int, float] = field(default_factory=lambda: _identity(os.getpid()))

    def of(self, number: int, split: int, count: int) -> dict[str, Any]:
        """Return the arguments of ``_fit_and_score`` by which one fold calls the callbacks.

        Args:
            number: of the candidate, from 0.
            split: of the fold, from 0.
            count: the folds of each candidate.
        """
        if not self._owner_lives():
            return {}
        task = number * count + split
        if self._owner[0] == os.getpid():
            parent = self.parent
            parent._children_map.pop(task, None)  # noqa: SLF001  # of an earlier attempt
        else:  # a copy of the tree, which does not grow with the folds that this worker takes
            parent = copy.copy(self.parent)
            parent._children_map = {}  # noqa: SLF001  # it has no other way
        return {"caller": self.search, "callback_ctx": parent.subcontext(task_name=_FOLD_TASK, task_id=task)}

    def _owner_lives(self) -> bool:
        return self._owner[0] == os.getpid() or _identity(self._owner[0]) == self._owner


def _identity(process: int) -> tuple[int, float]:
    """Return a process's id with its start (seconds since 1970; 0 if it is gone), which together are of it alone."""
    with contextlib.suppress(psutil.Error):
        return process, psutil.Process(process).create_time()
    return process, 0.0


class Tasks:
    """The tasks of a search as scikit-learn's callbacks see them: the fit, the search, its folds, and the refit.

    Args:
        search: the estimator that is fitted.
        root: its callback context; None before scikit-learn 1.9, where all of this does nothing.
        about: the data, as the hooks take it.
    """

    def __init__(self, search: Any, root: Any, about: Mapping[str, Any]) -> None:
        self._search, self._root, self._about = search, root, about
        self._folds: Any = None
        self._far: Evaluation | None = None
        self._seen = 0
        if root is not None:
            root.call_on_fit_task_begin(estimator=search, **about)

    def begin_search(self, total: int | None, evaluation: Evaluation, *, here: bool) -> None:
        """Tell the callbacks that candidates are about to be evaluated.

        Args:
            total: how many candidates; None for not known.
            evaluation: of each of them. Where callbacks are set, its folds call them from now on, if they run here.
            here: whether they run on this machine. Callbacks do not reach a service: for its folds they are called
                here, without what happens within, when the candidate has ended.
        """
        if self._root is None:
            return
        count = None if total is None else total * len(evaluation.splits)
        self._folds = self._root.subcontext(task_name="search", max_subtasks=count, sequential_subtasks=False)
        self._folds.call_on_fit_task_begin(estimator=self._search)
        if not here:
            self._far = evaluation
        elif getattr(self._search, "_skl_callbacks", ()):
            evaluation.tasks = FoldTasks(self._search, self._folds)

    def __call__(self, progress: Progress) -> None:
        """Take note of the candidates that have ended; a `Watcher`."""
        if self._far is None:
            return
        ended = sum(progress.counts.get(state, 0) for state in _ENDED)
        while self._seen < ended:
            for split in range(len(self._far.splits)):
                self._call_for(self._far, split)
            self._seen += 1

    def _call_for(self, evaluation: Evaluation, split: int) -> None:
        count, weight = len(evaluation.splits), evaluation.options["fit_params"].get("sample_weight")
        train, _ = evaluation.splits[split]
        data, target = _safe_split(evaluation.estimator, evaluation.X, evaluation.y, train)
        metadata = None if weight is None else {"sample_weight": weight[train]}
        task = self._folds.subcontext(task_name=_FOLD_TASK, task_id=self._seen * count + split)
        task.call_on_fit_task_begin(estimator=self._search, X=data, y=target, metadata=metadata)
        task.call_on_fit_task_end(estimator=self._search, X=data, y=target, metadata=metadata)

    def end_search(self) -> None:
        """Tell the callbacks that all candidates are evaluated."""
        if self._folds is not None:
            self._folds.call_on_fit_task_end(estimator=self._search)

    @contextmanager
    def refit(self, estimator: Any) -> Iterator[None]:
        """Tell the callbacks, and the best estimator of them, while it is fitted."""
        if self._root is None:
            yield
            return
        task = self._root.subcontext(task_name="refit-with-best-params")
        with task.propagate_callback_context(estimator):
            task.call_on_fit_task_begin(estimator=self._search, **self._about)
            yield
        task.call_on_fit_task_end(estimator=self._search, **self._about)

    def end(self) -> None:
        """Tell the callbacks that the fit is done."""
        if self._root is not None:
            self._root.call_on_fit_task_end(estimator=self._search, **self._about)


def together(watchers: Sequence[Watcher]) -> Watcher:
    """Return one watcher for several."""

    def watch(progress: Progress) -> None:
        for watcher in watchers:
            watcher(progress)

    return watch
