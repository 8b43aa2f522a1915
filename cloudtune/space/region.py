"""Where in a space its requirements hold; what finds that out is loaded for the first space that has any."""

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Space, SpaceError

if TYPE_CHECKING:
    from cloudtune.space.cover import Region

_QUICK = 32
"""Draws from the whole space, of which one that meets the requirements is enough to say that some do."""


@lru_cache(maxsize=16)
def region_of(space: Space) -> "Region":
    """Return the region of a space; equal spaces share it.

    Raises:
        SpaceError: no trial was found that meets the requirements.
    """
    return _cached(_Key(space))


def region_beside(space: Space, given: Mapping[str, Scalar]) -> "Region":
    """Return the region of the trials that have given values by name.

    Raises:
        SpaceError: no such trial was found that meets the requirements.
    """
    from cloudtune.space.cover import Region  # noqa: PLC0415  # few trials are completed that miss requirements

    return Region(space, given)


def check_feasible(space: Space) -> None:
    """Raise where no trial meets the requirements, at little cost where many do.

    Raises:
        SpaceError: none was found; names the requirement at fault where one alone is.
    """
    source = random.Random(0)  # noqa: S311
    draws = (space.at([source.random() for _ in space.dimensions]) for _ in range(_QUICK))
    if any(space.allows(values) for values in draws):
        return
    try:
        region_of(space)
    except SpaceError:
        _blame(space)
        raise


def _blame(space: Space) -> None:
    """Raise for a requirement that no trial meets even where the others are left away."""
    if len(space.requirements) == 1:
        return
    for index, requirement in enumerate(space.requirements):
        try:
            region_of(space.requiring([requirement.text]))
        except SpaceError as error:
            raise SpaceError([(str(index), error.problems[0][1])], error.within) from None


class _Key:
    """A space as a key: equal for equal parameters and requirements."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._said = repr(([(each.key, each.parameter) for each in space.dimensions], space.requirements))

    def __hash__(self) -> int:
        return hash(self._said)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._said == other._said


@lru_cache(maxsize=16)
def _cached(key: _Key) -> "Region":
    from cloudtune.space.cover import Region  # noqa: PLC0415  # few spaces have requirements

    return Region(key.space)
