"""Katib's algorithms that wait for whole rounds of trials: Hyperband (arXiv 1603.06560) and population based training (arXiv 1711.09846)."""

import math
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any

from cloudtune.search import Search
from cloudtune.search.suggestion import Suggestion
from cloudtune.space.parameters import Scalar
from cloudtune.store.records import TrialState

Values = dict[str, Scalar]


class Rounds(ABC):
    """A search in rounds: a round's trials are suggested at once, and the next round is made when all of them have ended.

    Args:
        sampler: suggests values at random.
        objective: the name of what is told.
        sign: 1 to minimize, -1 to maximize.
    """

    def __init__(self, sampler: Search, objective: str, sign: int) -> None:
        self._sampler, self._objective, self._sign = sampler, objective, sign
        self._queue: deque[tuple[Values, int | None]] = deque()
        self._running: dict[int, Values] = {}
        self._ended: list[tuple[float, int, Values]] = []
        self._parents: dict[int, int | None] = {}
        self.exhausted = False

    @abstractmethod
    def _next(self, ended: list[tuple[float, int, Values]]) -> list[tuple[Values, int | None]]:
        """Return the next round, of the last one's losses, numbers and values, the best first; [] at the end."""

    def ask(self) -> Suggestion | None:
        """Return the next trial; None where a round is waited for, or at the end."""
        if not self._queue and not self._running and not self.exhausted:
            self._queue.extend(self._next(sorted(self._ended, key=lambda each: each[:2])))
            self._ended = []
            self.exhausted = not self._queue
        if not self._queue:
            return None
        values, parent = self._queue.popleft()
        number = len(self._parents)
        self._parents[number], self._running[number] = parent, values
        return Suggestion(number, values)

    def parent(self, number: int) -> int | None:
        """Return the trial from whose checkpoint a trial begins; None for none."""
        return self._parents.get(number)

    def tell(
        self, number: int, metrics: Mapping[str, float] | None = None, *, state: Any = TrialState.COMPLETED
    ) -> None:
        """Take in how a trial has ended."""
        values = self._running.pop(number)
        found = (metrics or {}).get(self._objective) if state == TrialState.COMPLETED else None
        self._ended.append((math.inf if found is None else self._sign * found, number, values))

    def _sampled(self) -> Values:
        made = self._sampler.ask()
        assert made is not None  # a random search has no end
        return dict(made.parameters)


class Hyperband(Rounds):
    """Brackets of successive halving, each with fewer trials of more resource than the one before.

    Args:
        sampler: see `Rounds`.
        objective: see `Rounds`.
        sign: see `Rounds`.
        resource: the parameter that is the resource.
        most: the most of it, ``r_l``.
        eta: one in so many trials goes on.
    """

    def __init__(self, sampler: Search, objective: str, sign: int, *, resource: str, most: int, eta: int) -> None:
        super().__init__(sampler, objective, sign)
        self._resource, self._most, self._eta = resource, most, eta
        self._bracket = self._last = int(math.log(most, eta) + 1e-9)
        self._rung = -1

    def _next(self, ended: list[tuple[float, int, Values]]) -> list[tuple[Values, int | None]]:
        if 0 <= self._rung < self._bracket:
            self._rung += 1
            kept = ended[: max(1, len(ended) // self._eta)]
            return [({**values, self._resource: self._amount()}, None) for _, _, values in kept]
        if self._rung >= 0:
            self._bracket -= 1
        if self._bracket < 0:
            return []
        self._rung = 0
        count = math.ceil((self._last + 1) * self._eta**self._bracket / (self._bracket + 1))
        return [({**self._sampled(), self._resource: self._amount()}, None) for _ in range(count)]

    def _amount(self) -> int:
        return max(1, int(self._most * float(self._eta) ** (self._rung - self._bracket)))


class Population(Rounds):
    """Generations of trials, of which the worst take over a better one's values and checkpoint, and all go on.

    Args:
        sampler: see `Rounds`.
        objective: see `Rounds`.
        sign: see `Rounds`.
        size: of a generation, ``n_population``.
        share: of the worst that are replaced, ``truncation_threshold``.
        bounds: of parameters that are numbers: the lowest, the highest, and whether they are whole.
        seed: of the draws.
    """

    def __init__(
        self, sampler: Search, objective: str, sign: int, *, size: int, share: float,
        bounds: Mapping[str, tuple[float, float, bool]], seed: int,
    ) -> None:  # fmt: skip
        super().__init__(sampler, objective, sign)
        self._size, self._share, self._bounds = size, share, bounds
        self._random = random.Random(seed)  # noqa: S311  # not for secrets

    def _next(self, ended: list[tuple[float, int, Values]]) -> list[tuple[Values, int | None]]:
        alive = [each for each in ended if math.isfinite(each[0])]
        if not alive:
            return [(self._sampled(), None) for _ in range(self._size)]
        count = max(1, int(self._share * self._size))
        best = alive[:count]
        made: list[tuple[Values, int | None]] = []
        for place in range(self._size):
            replaced = place >= self._size - count or place >= len(alive)
            _, parent, values = self._random.choice(best) if replaced else alive[place]
            made.append((self._explored(values), parent))
        return made

    def _explored(self, values: Values) -> Values:
        """Return values near others: numbers 0.8 or 1.2 times as large, within their bounds."""
        made = dict(values)
        for name, (low, high, whole) in self._bounds.items():
            moved = min(high, max(low, float(made[name] or 0) * self._random.choice((0.8, 1.2))))
            made[name] = round(moved) if whole else moved
        return made
