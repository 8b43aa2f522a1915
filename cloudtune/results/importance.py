"""Parameter importance by PED-ANOVA (Watanabe, Bansal & Hutter 2023, arXiv 2304.10255)."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cloudtune.space.axes import Axis
from cloudtune.space.space import Space, Values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_TRIALS = 10
"""Fewest completed trials from which importance is computed."""

TOP = 0.1
"""The share of the trials that counts as the best, in (0, 1)."""

_LEAST_TOP = 5
_CELLS = 64
"""Equal parts of an axis on which densities are compared."""
_PRIOR = 1.0
"""The weight, in trials, of the uniform density that is mixed in, so that an empty cell does not decide."""
_REPLICATES = 100
"""Replicates of the bootstrap for the intervals."""
_SHUFFLES = 200
"""Random groups of trials that estimate the divergence due to chance alone."""


def importance(space: Space, trials: Sequence[tuple[Values, float]]) -> dict[str, float] | None:
    """Return how much each parameter decides whether a trial is among the best.

    PED-ANOVA compares how a parameter is distributed among the best tenth of the trials (at least five) and among
    all of them, by the Pearson divergence: a parameter that does not matter is distributed alike in both. Two
    things are added to the paper's method:

    - A conditional parameter is compared among the trials that have it. By the chain rule of the divergence its
      part weighs p² / q, where p and q are the shares of the best and of all trials that have it; the rest of the
      divergence belongs to its parents, which have their own.
    - Five trials differ from the others by chance, too. The mean divergence of random groups of the same size is
      taken off, so that a parameter without influence comes out near 0 however few the trials are.

    Args:
        space: of the trials.
        trials: parameters and finite loss (lower is better) of each completed trial. Trials that are not of the
            space (earlier runs may have had a wider one) are left out.

    Returns:
        A share for each name with more than one value, the largest first. They sum to 1, or all are 0 where no
        parameter sets the best trials apart. None for fewer than `MIN_TRIALS` trials, or nothing that varies.
    """
    placed = _placed(space, trials)
    columns = list(_columns(space, placed))
    if len(placed) < MIN_TRIALS or not columns:
        return None
    groups = _groups(len(placed), _top(len(placed)))
    scores: dict[str, float] = {}
    for name, cells, exists in columns:
        scores[name] = scores.get(name, 0.0) + _score(cells, groups, exists)
    total = sum(scores.values())
    shares = {name: score / total if total > 0 else 0.0 for name, score in scores.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def importance_intervals(space: Space, trials: Sequence[tuple[Values, float]]) -> dict[str, tuple[float, float]]:
    """Return the ends of the 90 % interval of each parameter's `importance`, by the bootstrap over the trials.

    A replicate has as many trials, drawn with replacement. The divergence that is due to chance is taken off as that of all
    trials has it.

    Args:
        space: see `importance`.
        trials: see `importance`.

    Returns:
        The ends by name; empty where `importance` is None.
    """
    import numpy as np  # noqa: PLC0415

    placed = _placed(space, trials)
    columns = list(_columns(space, placed))
    if len(placed) < MIN_TRIALS or not columns:
        return {}
    count, top = len(placed), _top(len(placed))
    groups = _groups(count, top)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1.0 / count), size=_REPLICATES).astype(float)
    best = np.clip(top - (drawn.cumsum(axis=1) - drawn), 0.0, drawn)  # of each trial, how often it is among the best
    scores: dict[str, Floats] = {}
    for name, cells, exists in columns:
        chance = float(_divergences(cells, groups[1:, exists], cells.sum(axis=0), len(cells)).mean())
        inside, every = best[:, exists], drawn[:, exists]
        beyond = np.maximum(_divergences(cells, inside, every @ cells, every.sum(axis=1)[:, None]) - chance, 0.0)
        share = (inside.sum(axis=1) / top) ** 2 / np.maximum(every.sum(axis=1) / count, 1.0 / count)
        scores[name] = scores.get(name, np.zeros(_REPLICATES)) + beyond * share
    total = np.sum(list(scores.values()), axis=0)
    shares = {name: np.divide(each, total, out=np.zeros_like(each), where=total > 0) for name, each in scores.items()}
    ends = {name: np.quantile(each, (0.05, 0.95)) for name, each in shares.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _placed(space: Space, trials: Sequence[tuple[Values, float]]) -> list[list[float | None]]:
    """Return the positions of the trials that are of the space, the best first."""
    placed = [(loss, points) for values, loss in trials if (points := _positions(space, values)) is not None]
    return [points for _, points in sorted(placed, key=lambda pair: pair[0])]


def _top(count: int) -> int:
    return max(_LEAST_TOP, math.ceil(TOP * count))


def _columns(space: Space, placed: Sequence[list[float | None]]) -> Iterator[tuple[str, "Floats", "NDArray[np.bool_]"]]:
    """Yield of each dimension that varies its name, the densities of the trials that have it, and which these are."""
    import numpy as np  # noqa: PLC0415

    for index, dimension in enumerate(space.dimensions):
        if dimension.axis.size != 1:
            column = [points[index] for points in placed]
            exists = np.array([position is not None for position in column], dtype=bool)
            yield dimension.name, _densities(dimension.axis, [each for each in column if each is not None]), exists


def _positions(space: Space, values: Values) -> list[float | None] | None:
    try:
        return space.positions(values)
    except ValueError:
        return None


def _groups(count: int, top: int) -> "Floats":
    """Return memberships (0 or 1) of shape (1 + `_SHUFFLES`, count): row 0 the best `top` trials, others random."""
    import numpy as np  # noqa: PLC0415

    random = np.random.default_rng(0)  # a fixed seed, so that a run's report does not change
    groups = np.zeros((1 + _SHUFFLES, count))
    groups[0, :top] = 1.0
    for row in groups[1:]:
        row[random.permutation(count)[:top]] = 1.0
    return groups


def _densities(axis: Axis, positions: Sequence[float]) -> "Floats":
    """Return for each position how much of it lies in each cell of the axis; rows sum to 1.

    On an ordered axis a position is a normal kernel, cut off at the ends, of the width of Scott's rule (at least a
    cell); a value of any other axis is a cell of its own.
    """
    import numpy as np  # noqa: PLC0415

    points = np.array(positions, dtype=float)
    if not axis.ordered:
        size = axis.size or 1
        return np.asarray(np.eye(size)[np.minimum((points * size).astype(int), size - 1)])
    spread = float(points.std()) if len(points) else 0.0
    width = max(1.06 * spread * max(len(points), 1) ** -0.2, 1.0 / _CELLS)
    centres = (np.arange(_CELLS) + 0.5) / _CELLS
    kernels = np.exp(-0.5 * ((points[:, None] - centres) / width) ** 2)
    return np.asarray(kernels / kernels.sum(axis=1, keepdims=True))


def _score(cells: "Floats", groups: "Floats", exists: "NDArray[np.bool_]") -> float:
    """Return the divergence of the best trials from all, less the mean of random groups; at least 0.

    Args:
        cells: one row of densities for each trial that has the parameter.
        groups: see `_groups`.
        exists: which of the trials have the parameter.
    """
    members = groups[:, exists]
    having = members.sum(axis=1)
    if not having[0]:
        return 0.0
    divergences = _divergences(cells, members, cells.sum(axis=0), len(cells))
    beyond = max(float(divergences[0] - divergences[1:].mean()), 0.0)
    return beyond * float((having[0] / groups[0].sum()) ** 2 / exists.mean())


def _divergences(cells: "Floats", members: "Floats", sums: "Floats", count: "Floats | int") -> "NDArray[np.float64]":
    """Return the Pearson divergence of the density of each group of trials from that of all of them.

    Args:
        cells: a row of densities for each trial.
        members: a row for each group: how often each trial is in it.
        sums: of the densities of all trials by cell, for all groups or in a row for each.
        count: of all trials, for all groups or in a row for each.
    """
    uniform = _PRIOR / cells.shape[1]
    everywhere = (sums + uniform) / (count + _PRIOR)
    inside = (members @ cells + uniform) / (members.sum(axis=1)[:, None] + _PRIOR)
    divergences: NDArray[np.float64] = (everywhere * (inside / everywhere - 1.0) ** 2).sum(axis=1)
    return divergences
