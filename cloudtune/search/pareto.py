"""Several losses at once: domination, crowding and hypervolume. Lower is better."""

import itertools

import numpy as np

from cloudtune.search.arrays import Array, Indices, Mask


def dominates(losses: Array) -> Mask:
    """Return, n × n, whether the row's losses are nowhere worse and somewhere better than the column's.

    Args:
        losses: n × m.
    """
    one, other = losses[:, None, :], losses[None, :, :]
    return np.asarray((one <= other).all(axis=2) & (one < other).any(axis=2))


def front(losses: Array) -> Indices:
    """Return the indices of the n × m losses that no other dominates, in their order."""
    return np.flatnonzero(~dominates(losses).any(axis=0))


def ranks(losses: Array) -> Indices:
    """Return the front of each of n × m losses: 0 if none dominates it, 1 if only those of front 0 do, and so on.

    Non-dominated sorting (Deb et al. 2002, doi 10.1109/4235.996017, section III.A).
    """
    above = dominates(losses)
    rank = np.full(len(losses), -1)
    level = 0
    while (rank < 0).any():
        open_ = rank < 0
        rank[open_ & ~above[open_].any(axis=0)] = level
        level += 1
    return rank


def crowding(losses: Array) -> Array:
    """Return the crowding distance of each of n × m losses, infinite at the ends (Deb et al. 2002, section III.B)."""
    distance = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        width = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if width > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return distance


def boxes(losses: Array, reference: Array) -> tuple[Array, Array]:
    """Return the part of the space below a reference that no loss dominates, cut into boxes that do not overlap.

    Along the last objective the space is cut into slabs at the losses; within a slab, the losses below it pose the
    same problem with one objective less (as in the dimension sweep of Fonseca et al. 2006,
    doi 10.1109/CEC.2006.1688440).

    Args:
        losses: n × m.
        reference: m losses.

    Returns:
        The lower and the upper corners, k × m each; lower ones may be -inf.
    """
    known = losses[(losses < reference).all(axis=1)]
    last = reference[-1]
    if losses.shape[1] == 1:
        top = min(known[:, 0].min(initial=last), last)
        return np.array([[-np.inf]]), np.array([[top]])
    cuts = np.concatenate([[-np.inf], np.unique(known[:, -1]), [last]])
    lower, upper = [], []
    for bottom, top in itertools.pairwise(cuts):
        low, high = boxes(known[known[:, -1] <= bottom][:, :-1], reference[:-1])
        lower.append(np.column_stack([low, np.full(len(low), bottom)]))
        upper.append(np.column_stack([high, np.full(len(high), top)]))
    return np.vstack(lower), np.vstack(upper)


def hypervolume(losses: Array, reference: Array) -> float:
    """Return the volume of the space below a reference that n × m losses dominate."""
    known = losses[(losses < reference).all(axis=1)]
    if not len(known):
        return 0.0
    ideal = known.min(axis=0)
    lower, upper = boxes(known, reference)
    lower = np.maximum(lower, ideal)
    free = np.prod(np.maximum(upper - lower, 0.0), axis=1).sum()
    return float(np.prod(reference - ideal) - free)
