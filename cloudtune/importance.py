"""Which parameters matter: PED-ANOVA (Watanabe, Bansal & Hutter 2023, arXiv 2304.10255)."""

from collections.abc import Sequence

from cloudtune.space import Space, Values

MIN_TRIALS = 10
"""Fewer trials than this say nothing about importance."""

_TOP = 0.1
_BASE = 0.5
_BINS = 10


def importance(space: Space, trials: Sequence[tuple[Values, float]]) -> dict[str, float] | None:
    """How much each parameter decides whether a trial is among the best.

    For each dimension, the distribution of its values among the top tenth (at least five) of the trials is compared
    with that among the better half, by their Pearson divergence: a parameter that does not matter is distributed
    alike in both. Parameters with one value are left out.

    Args:
        space: of the trials.
        trials: parameters and loss (lower is better) of each completed trial.

    Returns:
        Shares that sum to 1, the largest first; None for fewer than `MIN_TRIALS` trials.
    """
    if len(trials) < MIN_TRIALS:
        return None
    ranked = sorted(trials, key=lambda pair: pair[1])
    base = ranked[: max(int(len(ranked) * _BASE), 2 * 5)]
    top = base[: max(int(len(ranked) * _TOP), 5)]
    base_points = [space.positions(values) for values, _ in base]
    top_points = base_points[: len(top)]
    scores: dict[str, float] = {}
    for index, dimension in enumerate(space.dimensions):
        if dimension.axis.size == 1 and not dimension.parameter.when:
            continue
        bins = min(_BINS, dimension.axis.size or _BINS)
        score = _divergence([point[index] for point in top_points], [point[index] for point in base_points], bins)
        scores[dimension.name] = scores.get(dimension.name, 0.0) + score
    total = sum(scores.values())
    shares = {name: score / total if total else 1.0 / len(scores) for name, score in scores.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _divergence(top: Sequence[float | None], base: Sequence[float | None], bins: int) -> float:
    """The Pearson divergence of two sets of positions; where a dimension does not exist counts as a bin of its own."""
    p, q = _distribution(top, bins), _distribution(base, bins)
    return sum(qi * (pi / qi - 1.0) ** 2 for pi, qi in zip(p, q, strict=True))


def _distribution(points: Sequence[float | None], bins: int) -> list[float]:
    counts = [1.0] * (bins + 1)  # a prior of one each keeps empty bins from deciding
    for point in points:
        counts[bins if point is None else min(int(point * bins), bins - 1)] += 1.0
    return [count / sum(counts) for count in counts]
