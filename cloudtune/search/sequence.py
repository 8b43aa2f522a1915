"""A sequence of points as trials: the n-th of those that meet the requirements of a space."""

import random
from collections.abc import Callable, Sequence

from cloudtune.space.region import region_of
from cloudtune.space.space import Space, Values


class TrialSequence:
    """Maps the points of a sequence to trials, and leaves out those that miss the requirements of the space.

    Args:
        space: the space.
        point: returns the n-th point of the sequence, in the unit cube.
        source: returns the randomness for a trial's number.
    """

    def __init__(
        self, space: Space, point: Callable[[int], Sequence[float]], source: Callable[[int], random.Random]
    ) -> None:
        self._space, self._point, self._source = space, point, source
        self._next, self._passed = 0, 0

    def at(self, number: int) -> Values:
        """Return the n-th trial.

        Where hardly any point would do, each trial is searched for by itself.
        """
        if not self._space.requirements:
            return self._space.at(self._point(number))
        region = region_of(self._space)
        if not region.dense:
            return region.draw(self._source(number))
        if number < self._passed:
            self._next, self._passed = 0, 0
        while True:
            values = self._space.at(region.place(self._point(self._next)))
            self._next += 1
            if self._space.allows(values):
                self._passed += 1
                if self._passed > number:
                    return values
