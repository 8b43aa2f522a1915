"""The region of a space in which the requirements hold: a cover by boxes from which trials are drawn.

The unit cube is cut where the requirements are undecided, the largest part first, and parts in which none can hold are
dropped, until a good share of what is left meets the requirements (branch and bound with interval arithmetic; Moore
1966). A draw from the boxes that are left, repeated until it meets the requirements, has the distribution of a draw
from the whole space that does, whatever the share of the space that is.
"""

import heapq
import random
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

from cloudtune.space.boxes import Box, Boxes
from cloudtune.space.parameters import Scalar
from cloudtune.space.requirements.errors import shown
from cloudtune.space.space import Space, SpaceError, Values

_STAGES = ((0, 0.25), (64, 0.2), (256, 0.05), (1024, 0.02), (3072, 0.0))
"""Cuts, and the share of allowed draws from the cover at which no more of them are made."""

_SAMPLES = 200
_ATTEMPTS = 400
_RARE = 0.02
"""Draws from the cover for one trial; where the share of them that meet the requirements is lower, a search is quicker."""

_GOALS, _HALVINGS = 8, 12
_LOOKS = 4
_DIVE, _DEEP_DIVE = 200, 3_000
"""Boxes that a search for one trial looks at, and the search for the first of all."""

_CORNERS = ((0.0, 1.0), (0.0, 0.05), (0.95, 1.0))
"""The parts of a box's sides in which a search looks: all, and those near the ends, where bounds on sums hold first."""

_WITNESSES, _SWEEPS = 24, 2
_SHRINKS = 40


@dataclass(slots=True)
class _Part:
    """A part of the cube: a box, or the two halves into which it was cut.

    Attributes:
        box: its box.
        volume: of the cover's part of it, once the cover is complete.
        undecided: the requirements that some of its trials may meet, and others not.
        dimension: across which it was cut.
        cut: where, as a position.
        halves: the parts, None for one that was dropped; () for a box that was not cut.
    """

    box: Box
    volume: float
    undecided: tuple[int, ...]
    dimension: int = 0
    halves: tuple["_Part | None", "_Part | None"] | tuple[()] = ()


class Region:
    """The trials of a space that meet its requirements; see `cloudtune.space.region.region_of`.

    Args:
        space: the space.
        given: values that all trials have, by name.

    Attributes:
        share: of all trials that meet the requirements, estimated.
        acceptance: share of the draws from the cover that do, estimated; 1 without requirements.
        covers: whether the cover is smaller than the space.

    Raises:
        SpaceError: no trial was found that meets the requirements.
    """

    def __init__(self, space: Space, given: Mapping[str, Scalar] | None = None) -> None:
        self.space = space
        self._boxes = Boxes(space, given)
        self._cube = all(self._boxes.ends(index, side) == (0.0, 1.0) for index, side in enumerate(self._boxes.whole))
        self._known: list[Values] = []
        undecided = self._boxes.undecided(self._boxes.whole)
        if undecided is None:
            raise self._empty(proven=True)
        self._whole = _Part(self._boxes.whole, 1.0, undecided)
        self.acceptance = 0.0 if undecided else 1.0
        if undecided:
            self._refine()
        self._leaves = list(_leaves(self._whole))
        self._cumulative = list(accumulate(leaf.volume for leaf in self._leaves))
        self.covers = bool(self._whole.halves)
        self.share = self.acceptance * self._whole.volume
        if not self._known and self.acceptance < 1:
            self._known = self._witnesses()

    # The cover

    def _refine(self) -> None:
        """Cut the cube until draws from what is left often meet the requirements."""
        order, cuts = 1, 0
        undecided = [(-1.0, 0, self._whole)]
        for stage, enough in _STAGES:
            while undecided and cuts < stage:
                _, _, part = heapq.heappop(undecided)
                dimension = self._boxes.to_cut(part.box, part.undecided)
                if dimension is None:
                    continue
                cuts += 1
                part.dimension, part.halves = dimension, self._halves(part, dimension)
                for half in part.halves:
                    if half is not None and half.undecided:
                        heapq.heappush(undecided, (-half.volume, order, half))
                        order += 1
            _sum_volumes(self._whole)
            if self._whole.volume <= 0:
                raise self._empty(proven=True)
            self._estimate()
            if self.acceptance >= max(enough, 1e-9):
                return

    def _halves(self, part: _Part, dimension: int) -> tuple[_Part | None, _Part | None]:
        first, second = (
            None
            if (undecided := self._boxes.undecided(half, part.undecided)) is None
            else _Part(half, self._boxes.volume(half), undecided)
            for half in self._boxes.halves(part.box, dimension)
        )
        return first, second

    def _estimate(self) -> None:
        source = random.Random(0)  # noqa: S311  # the same for every run
        found = [self._at(self.place([source.random() for _ in self.space.dimensions])) for _ in range(_SAMPLES)]
        allowed = [values for values in found if self.space.allows(values)]
        self.acceptance = len(allowed) / _SAMPLES
        self._known = allowed or self._known

    def _witnesses(self) -> list[Values]:
        """Return some trials that meet the requirements, where draws from the cover found none."""
        source = random.Random(0)  # noqa: S311
        found = (self._dive(source, self._draw_leaf(source), _DIVE)[0] for _ in range(_WITNESSES))
        known = list(islice((values for values in found if values is not None), _LOOKS))
        if not known:
            values, exhausted = self._dive(source, None, _DEEP_DIVE)
            if values is None:
                raise self._empty(proven=exhausted)
            known.append(values)
        while len(known) < _WITNESSES:
            known.append(self._walk(known[-1], source))
        return known

    def _empty(self, *, proven: bool) -> SpaceError:
        texts = self.space.requirements
        they = shown(texts[0].text) if len(texts) == 1 else f"all {len(texts)} of them"
        if proven:
            message = f"no trial of the space meets {they}; loosen what is required, or widen the space"
        else:
            message = (
                f"no trial was found that meets {they}: real numbers seldom meet an equality, so give them a step or "
                "take one of them out of the space; else loosen what is required"
            )
        return SpaceError([("0" if len(texts) == 1 else "", message)], "require")

    # Draws

    def place(self, point: Sequence[float]) -> list[float]:
        """Return where a point of the unit cube lies in the cover.

        The map keeps uniform points uniform, and the order in each dimension: where a part of the cube was cut, its
        halves get as much of the dimension as they have of the cover. So evenly spread points stay so.
        """
        position, part = list(point), self._whole
        while part.halves:
            first, second = part.halves
            if first is None or second is None:
                part = first or second or part
                continue
            dimension, share = part.dimension, first.volume / (first.volume + second.volume)
            inside = position[dimension]
            if inside < share:
                part, position[dimension] = first, min(inside / share, 1.0)
            else:
                part, position[dimension] = second, min((inside - share) / (1.0 - share), 1.0)
        return self._within(part.box, position)

    def _within(self, box: Box, point: Sequence[float]) -> list[float]:
        """Return the position of a point of the unit cube within a box."""
        if self._cube and box == self._boxes.whole:
            return list(point)
        found = []
        for dimension, (side, inside) in enumerate(zip(box, point, strict=True)):
            low, high = self._boxes.ends(dimension, side)
            found.append(low + inside * (high - low))
        return found

    def _at(self, positions: Sequence[float]) -> Values:
        return self.space.at(positions)

    @property
    def dense(self) -> bool:
        """Whether draws from the cover meet the requirements often enough to wait for the next that does."""
        return self.acceptance > _RARE

    @property
    def attempts(self) -> int:
        """The number of draws from the cover after which a search is the better way to one trial."""
        return _ATTEMPTS if self.dense else _LOOKS

    def boxes(self) -> list[tuple[list[float], list[float], float]]:
        """Return the boxes of the cover: lower and upper corner in the unit cube, and share of the space."""
        found = []
        for leaf in self._leaves:
            ends = [self._boxes.ends(dimension, side) for dimension, side in enumerate(leaf.box)]
            found.append(([low for low, _ in ends], [high for _, high in ends], leaf.volume))
        return found

    def towards(self, values: Values, source: random.Random) -> Values:
        """Return a trial that meets the requirements, as near as can be to one that does not.

        It lies on the way to the nearest of some random trials that do, where the requirements begin to hold.
        """
        outside = self._positions(values)
        inside = min(
            (self._positions(self.draw(source)) for _ in range(_GOALS)),
            key=lambda found: sum((one - other) ** 2 for one, other in zip(found, outside, strict=True)),
        )
        near, far = 0.0, 1.0
        best = self._at(inside)
        for _ in range(_HALVINGS):
            share = (near + far) / 2
            between = self._at([one + share * (other - one) for one, other in zip(outside, inside, strict=True)])
            if self.space.allows(between):
                best, far = between, share
            else:
                near = share
        return best

    def _positions(self, values: Values) -> list[float]:
        return [0.5 if position is None else position for position in self.space.positions(values)]

    def draw(self, source: random.Random) -> Values:
        """Return a random trial that meets the requirements.

        Where the cover has few of them, it is the first of a random search through a box of the cover, or else the
        end of a random walk from a known one, and so only roughly of the space's distribution.
        """
        for _ in range(self.attempts):
            values = self._at(self.place([source.random() for _ in self.space.dimensions]))
            if self.space.allows(values):
                return values
        for _ in range(2):
            found, _ = self._dive(source, self._draw_leaf(source), _DIVE)
            if found is not None:
                return found
        return self._walk(source.choice(self._known), source)

    def _walk(self, values: Values, source: random.Random) -> Values:
        """Return where a walk from a trial ends that changes one dimension after the other within the requirements.

        Each is drawn anew from its whole axis, and as long as that is not allowed, nearer to where it was: slice
        sampling, which keeps the distribution (Neal 2003, doi 10.1214/aos/1056562461, section 4).
        """
        positions = self._positions(values)
        for dimension in [*range(len(positions))] * _SWEEPS:
            here = positions[dimension]
            low, high = self._boxes.ends(dimension, self._boxes.whole[dimension])
            for _ in range(_SHRINKS):
                positions[dimension] = low + source.random() * (high - low)
                if self.space.allows(self._at(positions)):
                    break
                low, high = (positions[dimension], high) if positions[dimension] < here else (low, positions[dimension])
            else:
                positions[dimension] = here
        found = self._at(positions)
        return found if self.space.allows(found) else values

    def _draw_leaf(self, source: random.Random) -> _Part:
        at = bisect(self._cumulative, source.random() * self._cumulative[-1])
        return self._leaves[min(at, len(self._leaves) - 1)]

    def _dive(self, source: random.Random, part: _Part | None, budget: int) -> tuple[Values | None, bool]:
        """Search a part for a trial that meets the requirements, half by half in random order.

        Args:
            source: of randomness.
            part: a box of the cover; None for the whole space.
            budget: the number of boxes to look at.

        Returns:
            The trial, or None; and whether the whole box was searched.
        """
        every = tuple(range(len(self.space.requirements)))
        stack = [(self._boxes.whole, every) if part is None else (part.box, part.undecided)]
        while stack and budget:
            budget -= 1
            box, undecided = stack.pop()
            for low, high in _CORNERS:
                values = self._at(self._within(box, [low + source.random() * (high - low) for _ in box]))
                if self.space.allows(values):
                    return values, False
            dimension = self._boxes.to_cut(box, undecided)
            if dimension is not None:
                stack.extend(self._shuffled(source, box, dimension, undecided))
        return None, not stack

    def _shuffled(
        self, source: random.Random, box: Box, dimension: int, among: tuple[int, ...]
    ) -> list[tuple[Box, tuple[int, ...]]]:
        """Return the halves of a box that may have allowed trials, the one to search first last: more often the larger."""
        halves = [
            (half, undecided)
            for half in self._boxes.halves(box, dimension)
            if (undecided := self._boxes.undecided(half, among)) is not None
        ]
        volumes = [self._boxes.volume(half) for half, _ in halves]
        if len(halves) == 2 and source.random() * sum(volumes) < volumes[0]:
            halves.reverse()
        return halves


def _leaves(part: _Part) -> "list[_Part]":
    found, stack = [], [part]
    while stack:
        each = stack.pop()
        if each.halves:
            stack.extend(half for half in reversed(each.halves) if half is not None)
        else:
            found.append(each)
    return found


def _sum_volumes(part: _Part) -> float:
    if part.halves:
        part.volume = sum(_sum_volumes(half) for half in part.halves if half is not None)
    return part.volume
