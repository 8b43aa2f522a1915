"""Progress for whoever watches a search: cloudtune's watchers, and the callbacks that scikit-learn 1.9 has."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cloudtune.provider import Progress, Watcher
from cloudtune.states import TrialState

_ENDED = tuple(state.value for state in TrialState if state.ended)


class Tasks:
    """The tasks of a search as scikit-learn's callbacks see them: the fit, the search, its candidates, and the refit.

    Candidates are evaluated elsewhere, so that callbacks are not propagated into their estimators.

    Args:
        search: the estimator that is fitted.
        root: its callback context; None before scikit-learn 1.9, where all of this does nothing.
        about: the data, as the hooks take it.
    """

    def __init__(self, search: Any, root: Any, about: Mapping[str, Any]) -> None:
        self._search, self._root, self._about = search, root, about
        self._candidates: Any = None
        self._seen = 0
        if root is not None:
            root.call_on_fit_task_begin(estimator=search, **about)

    def begin_search(self, total: int | None) -> None:
        """Candidates are about to be evaluated, so many of them; None for not known."""
        if self._root is not None:
            self._candidates = self._root.subcontext(task_name="search", max_subtasks=total)
            self._candidates.call_on_fit_task_begin(estimator=self._search)

    def __call__(self, progress: Progress) -> None:
        """Takes note of the candidates that have ended; a `Watcher`."""
        ended = sum(progress.counts.get(state, 0) for state in _ENDED)
        while self._candidates is not None and self._seen < ended:
            self._seen += 1
            task = self._candidates.subcontext(task_name="candidate-evaluation")
            task.call_on_fit_task_begin(estimator=self._search)
            task.call_on_fit_task_end(estimator=self._search)

    def end_search(self) -> None:
        """All candidates are evaluated."""
        if self._candidates is not None:
            self._candidates.call_on_fit_task_end(estimator=self._search)

    @contextmanager
    def refit(self, estimator: Any) -> Iterator[None]:
        """The best estimator is fitted meanwhile, and told of the callbacks."""
        if self._root is None:
            yield
            return
        task = self._root.subcontext(task_name="refit-with-best-params")
        with task.propagate_callback_context(estimator):
            task.call_on_fit_task_begin(estimator=self._search, **self._about)
            yield
        task.call_on_fit_task_end(estimator=self._search, **self._about)

    def end(self) -> None:
        """The fit is done."""
        if self._root is not None:
            self._root.call_on_fit_task_end(estimator=self._search, **self._about)


def together(watchers: Sequence[Watcher]) -> Watcher:
    """One watcher for several."""

    def watch(progress: Progress) -> None:
        for watcher in watchers:
            watcher(progress)

    return watch
