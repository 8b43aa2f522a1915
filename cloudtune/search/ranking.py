"""The best of a search's completed trials: the front of the feasible ones, and the one that is nearest to being feasible."""

import math

from cloudtune.results.constraints import total_violation
from cloudtune.search.suggestion import Result


class Ranking:
    """The trials of a search that no other beats."""

    def __init__(self) -> None:
        self._front: list[tuple[tuple[float, ...], Result]] = []
        self._nearest: Result | None = None

    @property
    def front(self) -> list[Result]:
        """The feasible trials that no other is at least as good as in every objective, by number."""
        return sorted((result for _, result in self._front), key=lambda result: result.number)

    @property
    def nearest(self) -> Result | None:
        """Where no trial is feasible, the one that violates the constraints least; else None."""
        return None if self._front else self._nearest

    def add(self, losses: tuple[float, ...], result: Result) -> None:
        """Rank a completed trial by its losses, one for each objective."""
        if not result.feasible:
            total = total_violation(result.violations)
            best = math.inf if self._nearest is None else total_violation(self._nearest.violations)
            self._nearest = result if total < best else self._nearest
            return
        for other, known in self._front:
            if _no_worse(other, losses) and (other != losses or known.number < result.number):
                return
        kept = [(other, known) for other, known in self._front if not _no_worse(losses, other)]
        self._front = [*kept, (losses, result)]


def _no_worse(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(left <= right for left, right in zip(one, other, strict=True))
