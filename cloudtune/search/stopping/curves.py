"""A stopping rule that predicts where a trial's curve ends."""

import math
from collections import defaultdict
from collections.abc import Sequence

from scipy.special import stdtr

from cloudtune.search.stopping.rules import SteppedRule
from cloudtune.spec.stopping import Curve
from cloudtune.store.records import TrialState

MIN_COMPLETED = 5
"""Completed trials that reported at the same step, from which an end can be predicted: a line and its spread."""

_WORST = 3.0
"""Losses further above the median than so many times the distance from the best to it count as no further."""


class CurveRule(SteppedRule):
    """Stops a trial that has hardly a chance of ending better than the best trial.

    What Vertex AI's decay curve rule does with a Gaussian process over curves ("early stopping is requested if there's
    very low probability to exceed the optimal value found so far", DecayCurveAutomatedStoppingSpec), with a plainer
    model: the end of a trial is a straight line in its best loss by this step, with the spread that the completed
    trials show about it (Student's t). It assumes nothing about the shape of the curves, and every step counts.

    Args:
        grace: steps before the first judgement.
        interval: steps between judgements.
        probability: of ending better than the best, below which a trial is stopped; above 0 and below 1.
    """

    spec = Curve

    def __init__(self, grace: int, interval: int, probability: float) -> None:
        super().__init__(grace, interval)
        self._probability = probability
        self._running: dict[int, dict[int, float]] = defaultdict(dict)
        self._ended: dict[int, list[tuple[float, float]]] = defaultdict(list)
        self._best = math.inf

    def _is_bad(self, number: int, step: int, loss: float) -> bool:
        curve = self._running[number]
        best = min(loss, min(curve.values(), default=math.inf))
        curve[step] = best
        known = self._ended[step]
        return len(known) >= MIN_COMPLETED and self._chance(known, best) < self._probability

    def _chance(self, known: list[tuple[float, float]], now: float) -> float:
        """Return the probability that a trial ends below the best.

        Args:
            known: for each completed trial, its best loss by this step and at its end.
            now: the best loss of the trial by this step.
        """
        thens, ends = zip(*known, strict=True)
        highest_then, highest_end = _ceiling(thens), _ceiling(ends)
        pairs = [(min(then, highest_then), min(end, highest_end)) for then, end in known]
        count = len(pairs)
        mean_then, mean_end = (sum(each) / count for each in zip(*pairs, strict=True))
        width = sum((then - mean_then) ** 2 for then, _ in pairs)
        slope = sum((then - mean_then) * (end - mean_end) for then, end in pairs) / width if width > 0 else 0.0
        rest = sum((end - mean_end - slope * (then - mean_then)) ** 2 for then, end in pairs) / (count - 2)
        away = min(now, highest_then) - mean_then
        spread = math.sqrt(rest * (1 + 1 / count + (away * away / width if width > 0 else 0.0)))
        expected = mean_end + slope * away
        if spread == 0:
            return float(expected < self._best)
        return float(stdtr(count - 2, (self._best - expected) / spread))

    def ended(self, number: int, state: TrialState) -> None:
        super().ended(number, state)
        curve = self._running.pop(number, {})
        if state is TrialState.COMPLETED and curve:
            end = min(curve.values())
            self._best = min(self._best, end)
            for step, loss in curve.items():
                self._ended[step].append((loss, end))


def _ceiling(losses: Sequence[float]) -> float:
    """Return the loss above which all count alike: one that has diverged would hide all others."""
    ordered = sorted(losses)
    middle = ordered[len(ordered) // 2]
    return middle + _WORST * (middle - ordered[0])
