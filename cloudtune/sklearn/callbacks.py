"""Progress of a search for cloudtune's watchers and for the callbacks of scikit-learn 1.9."""

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
"""The name of the task of one fold of one candidate in scikit-learn (``BaseSearchCV.fit``)."""


@dataclass
class FoldTasks:
    """The callback tasks of folds, which `Evaluation` passes to ``_fit_and_score``.

    It is pickled with the evaluation for the workers of this machine, where callbacks send their results to the process
    that fits the search. If that process has ended (another one resumed the run), no callbacks are called.

    Attributes:
        search: the fitted search, which is passed to the hooks.
        parent: the callback context of the search's task.
    """

    search: Any
    parent: Any
    _owner: tuple[int, float] = field(default_factory=lambda: _identity(os.getpid()))

    def of(self, number: int, split: int, count: int) -> dict[str, Any]:
        """Return the arguments of ``_fit_and_score`` that make a fold call the callbacks; {} without the owner process.

        Args:
            number: the candidate, from 0.
            split: the fold, from 0.
            count: the number of folds of each candidate.
        """
        if not self._owner_lives():
            return {}
        task = number * count + split
        if self._owner[0] == os.getpid():
            parent = self.parent
            parent._children_map.pop(task, None)  # noqa: SLF001  # of an earlier attempt
        else:  # a copy without children, which does not grow with the folds of this worker
            parent = copy.copy(self.parent)
            parent._children_map = {}  # noqa: SLF001  # there is no public way
        return {"caller": self.search, "callback_ctx": parent.subcontext(task_name=_FOLD_TASK, task_id=task)}

    def _owner_lives(self) -> bool:
        return self._owner[0] == os.getpid() or _identity(self._owner[0]) == self._owner


def _identity(process: int) -> tuple[int, float]:
    """Return a process's id and start (seconds since 1970; 0 if it has ended), which together are unique."""
    with contextlib.suppress(psutil.Error):
        return process, psutil.Process(process).create_time()
    return process, 0.0


class Tasks:
    """The callback tasks of a search: the fit, the search, its folds, and the refit.

    Args:
        search: the fitted search.
        root: its callback context; None before scikit-learn 1.9, where no callbacks are called.
        about: the data as keyword arguments of the hooks.
    """

    def __init__(self, search: Any, root: Any, about: Mapping[str, Any]) -> None:
        self._search, self._root, self._about = search, root, about
        self._folds: Any = None
        self._remote: Evaluation | None = None
        self._called = 0
        if root is not None:
            root.call_on_fit_task_begin(estimator=search, **about)

    def begin_search(self, total: int | None, evaluation: Evaluation, *, here: bool) -> None:
        """Call the callbacks for the start of the search.

        Args:
            total: the number of candidates; None for not known.
            evaluation: the evaluation of candidates. If callbacks are set and folds run here, its folds call them.
            here: whether folds run on this machine. Callbacks do not reach a service: they are called here for its
                folds, without those of nested tasks, when the candidate has ended.
        """
        if self._root is None:
            return
        count = None if total is None else total * len(evaluation.splits)
        self._folds = self._root.subcontext(task_name="search", max_subtasks=count, sequential_subtasks=False)
        self._folds.call_on_fit_task_begin(estimator=self._search)
        if not here:
            self._remote = evaluation
        elif getattr(self._search, "_skl_callbacks", ()):
            evaluation.tasks = FoldTasks(self._search, self._folds)

    def __call__(self, progress: Progress) -> None:
        """Call the callbacks for the folds of newly ended candidates of a service; a `Watcher`."""
        if self._remote is None:
            return
        ended = sum(progress.counts.get(state, 0) for state in _ENDED)
        while self._called < ended:
            for split in range(len(self._remote.splits)):
                self._call_for(self._remote, split)
            self._called += 1

    def _call_for(self, evaluation: Evaluation, split: int) -> None:
        count, weight = len(evaluation.splits), evaluation.options["fit_params"].get("sample_weight")
        train, _ = evaluation.splits[split]
        data, target = _safe_split(evaluation.estimator, evaluation.X, evaluation.y, train)
        metadata = None if weight is None else {"sample_weight": weight[train]}
        task = self._folds.subcontext(task_name=_FOLD_TASK, task_id=self._called * count + split)
        task.call_on_fit_task_begin(estimator=self._search, X=data, y=target, metadata=metadata)
        task.call_on_fit_task_end(estimator=self._search, X=data, y=target, metadata=metadata)

    def end_search(self) -> None:
        """Call the callbacks for the end of the search."""
        if self._folds is not None:
            self._folds.call_on_fit_task_end(estimator=self._search)

    @contextmanager
    def refit(self, estimator: Any) -> Iterator[None]:
        """Call the callbacks for the refit, within which the best estimator has their context."""
        if self._root is None:
            yield
            return
        task = self._root.subcontext(task_name="refit-with-best-params")
        with task.propagate_callback_context(estimator):
            task.call_on_fit_task_begin(estimator=self._search, **self._about)
            yield
        task.call_on_fit_task_end(estimator=self._search, **self._about)

    def end(self) -> None:
        """Call the callbacks for the end of the fit."""
        if self._root is not None:
            self._root.call_on_fit_task_end(estimator=self._search, **self._about)


def together(watchers: Sequence[Watcher]) -> Watcher:
    """Return a watcher that calls several watchers in turn."""

    def watch(progress: Progress) -> None:
        for watcher in watchers:
            watcher(progress)

    return watch
