"""Stopping rules that pause trials, and let the best go on later."""

import math
from abc import abstractmethod
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Container

from cloudtune.search.stopping.rule import StoppingRule
from cloudtune.spec.stopping import Asha
from cloudtune.store.records import TrialState


class PausingRule(StoppingRule):
    """A rule whose `observe` pauses a trial where that of other rules stops it: the trial may be promoted later.

    Like any rule it is a function of the reports and ends alone; which trials are paused is passed to `promoted`.

    Attributes:
        paused: the numbers of the paused trials, as they are at any moment: those whose programs have ended, so that their
            checkpoints are whole.
    """

    paused: Container[int] = ()

    @abstractmethod
    def reached(self, number: int) -> bool:
        """Return whether a trial has been compared with others."""

    @abstractmethod
    def promoted(self, paused: Container[int], *, last: bool) -> int | None:
        """Return the paused trial that should go on next; None for none.

        Args:
            paused: the numbers of the paused trials.
            last: whether no trial runs and none will be suggested, so that a trial which does not go on now never will.
        """


class AshaPromotion(PausingRule):
    """Asynchronous successive halving as it was published (Li et al. 2018, arXiv 1810.05934, algorithm 2).

    At the rungs min, min·eta, min·eta², … a trial pauses unless it is among the best 1/eta of those that have reached the
    rung so far. It goes on once it is among them, since worse ones came after it; trials of higher rungs first. So no trial
    goes on only because it came early, as in the variant that stops. Beyond the maximum nothing is paused. A trial reaches
    a rung with its first report at or beyond it. When no other trial can follow and none has completed, the best of the
    highest rung goes on, so that a search of few trials has a result.

    Args:
        min_resource: the step of the first rung, at least 1.
        max_resource: the step at which a trial is complete; None for no bound.
        eta: one in so many trials goes on at each rung, at least 2.
    """

    spec = Asha

    def __init__(self, min_resource: int, max_resource: int | None, eta: int) -> None:
        self._min, self._max, self._eta = min_resource, max_resource, eta
        self._rungs: dict[int, list[tuple[float, int]]] = defaultdict(list)
        self._level: dict[int, int] = {}
        self._completed = False

    def observe(self, number: int, step: int, loss: float) -> bool:
        rung = self._level[number] * self._eta if number in self._level else self._min
        if step < rung or not math.isfinite(loss):
            return False
        while rung * self._eta <= step:
            rung *= self._eta
        self._level[number] = rung
        rivals = self._rungs[rung]
        insort(rivals, (loss, number))
        complete = self._max is not None and step >= self._max
        return not complete and bisect_left(rivals, (loss, number)) >= len(rivals) // self._eta

    def reached(self, number: int) -> bool:
        return number in self._level

    def promoted(self, paused: Container[int], *, last: bool) -> int | None:
        highest_first = sorted(self._rungs, reverse=True)
        for rung in highest_first:
            rivals = self._rungs[rung]
            found = self._first(rung, rivals[: len(rivals) // self._eta], paused)
            if found is not None:
                return found
        if last and not self._completed:
            each = (self._first(rung, self._rungs[rung], paused) for rung in highest_first)
            return next((found for found in each if found is not None), None)
        return None

    def _first(self, rung: int, best: list[tuple[float, int]], paused: Container[int]) -> int | None:
        """Return the first of the best of a rung that is paused there, and not at a higher one."""
        return next((number for _, number in best if number in paused and self._level[number] == rung), None)

    def ended(self, number: int, state: TrialState) -> None:  # noqa: ARG002  # what it reported stays true
        self._completed = self._completed or state is TrialState.COMPLETED
