"""Parameter importance by PED-ANOVA (Watanabe, Bansal & Hutter 2023, arXiv 2304.10255)."""

import math
from collections.abc import Sequence
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
    import numpy as np  # noqa: PLC0415  # loaded only where importance is asked for

    placed = [(loss, points) for values, loss in trials if (points := _positions(space, values)) is not None]
    varying = [(index, each) for index, each in enumerate(space.dimensions) if each.axis.size != 1]
    if len(placed) < MIN_TRIALS or not varying:
        return None
    placed.sort(key=lambda pair: pair[0])
    groups = _groups(len(placed), max(_LEAST_TOP, math.ceil(TOP * len(placed))))
    scores: dict[str, float] = {}
    for index, dimension in varying:
        column = [points[index] for _, points in placed]
        exists = np.array([position is not None for position in column])
        cells = _densities(dimension.axis, [position for position in column if position is not None])
        scores[dimension.name] = scores.get(dimension.name, 0.0) + _score(cells, groups, exists)
    total = sum(scores.values())
    shares = {name: score / total if total > 0 else 0.0 for name, score in scores.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


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
    uniform = _PRIOR / cells.shape[1]
    everywhere = (cells.sum(axis=0) + uniform) / (len(cells) + _PRIOR)
    inside = (members @ cells + uniform) / (having[:, None] + _PRIOR)
    divergences = (everywhere * (inside / everywhere - 1.0) ** 2).sum(axis=1)
    beyond = max(float(divergences[0] - divergences[1:].mean()), 0.0)
    return beyond * float((having[0] / groups[0].sum()) ** 2 / exists.mean())
