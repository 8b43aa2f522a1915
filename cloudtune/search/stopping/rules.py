"""Stopping rules as the services define them, for trials that report asynchronously.

All losses are lower-is-better. A rule compares a trial with what the others had reported *by the same step*, since
trials run asynchronously and the others may be far ahead.
"""

import math
from abc import abstractmethod
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar, Self

from cloudtune.search.stopping.promotion import AshaPromotion
from cloudtune.search.stopping.rule import StoppingRule
from cloudtune.spec.objective import Objective
from cloudtune.spec.stopping import Asha, Auto, Bandit, Median, StoppingSpec, Truncation
from cloudtune.store.records import TrialState

MIN_OTHERS = 3
"""Other trials that must have come as far before one is judged: the median of one or two says nothing."""


class SteppedRule(StoppingRule):
    """A rule that judges at every `interval` steps after the first `grace`.

    These are ``evaluation_interval`` and ``delay_evaluation`` of Azure Machine Learning
    (https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters#early-termination).

    Args:
        grace: steps before the first judgement, at least 0.
        interval: steps between judgements, at least 1.
    """

    def __init__(self, grace: int, interval: int) -> None:
        self._grace = grace
        self._interval = interval
        self._last_step: dict[int, int] = {}

    def observe(self, number: int, step: int, loss: float) -> bool:
        if step <= self._last_step.get(number, -1) or not math.isfinite(loss):
            return False
        self._last_step[number] = step
        bad = self._is_bad(number, step, loss)
        return bad and step > self._grace and (step - self._grace) % self._interval == 0

    def ended(self, number: int, state: TrialState) -> None:  # noqa: ARG002  # what it reported stays true
        self._last_step.pop(number, None)

    @abstractmethod
    def _is_bad(self, number: int, step: int, loss: float) -> bool:
        """Take in the report, which is new and finite, and return whether the trial does badly at this step."""


class MedianRule(SteppedRule):
    """Stops a trial whose best value so far is worse than the median of the others' running averages.

    The median stopping rule of Google Vizier (Golovin et al., KDD 2017, section 3.2.2), which Azure Machine
    Learning (MedianStoppingPolicy), Vertex AI (median_automated_stopping_spec) and SageMaker
    (TrainingJobEarlyStoppingType Auto) share. The running average of a trial is the mean of all that it has
    reported up to the step.
    """

    spec: ClassVar[type[StoppingSpec]] = Median

    def __init__(self, grace: int, interval: int) -> None:
        super().__init__(grace, interval)
        self._best: dict[int, float] = {}
        self._sum: dict[int, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
        self._averages: dict[int, list[float]] = defaultdict(list)

    def _is_bad(self, number: int, step: int, loss: float) -> bool:
        self._best[number] = min(loss, self._best.get(number, math.inf))
        total, count = self._sum[number]
        self._sum[number] = total + loss, count + 1
        others = self._averages[step]
        bad = len(others) >= MIN_OTHERS and self._best[number] > _median(others)
        insort(others, (total + loss) / (count + 1))
        return bad

    def ended(self, number: int, state: TrialState) -> None:
        super().ended(number, state)
        self._best.pop(number, None)
        self._sum.pop(number, None)


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class AutoRule(MedianRule):
    """The rule for ``auto`` where no service with a rule of its own runs the trials: the median after five steps."""

    spec = Auto

    def __init__(self) -> None:
        super().__init__(grace=5, interval=1)


class BanditRule(SteppedRule):
    """Stops a trial whose best value lies outside a slack of the best trial's by the same step.

    Azure Machine Learning's BanditPolicy. A factor means a ratio: of a metric that is maximised, trials below
    best / (1 + factor) are stopped, of one that is minimised those above best · (1 + factor); where the best is
    negative, the same distance is taken on the worse side. An amount means a distance.

    Args:
        grace: steps before the first judgement.
        interval: steps between judgements.
        slack_factor: the slack as a ratio, or None.
        slack_amount: the slack as a distance, or None; one of the two is given.
        maximize: whether the metric is maximised, so that losses are its negatives.
    """

    spec = Bandit

    def __init__(
        self, grace: int, interval: int, *, slack_factor: float | None, slack_amount: float | None, maximize: bool
    ) -> None:
        super().__init__(grace, interval)
        self._factor, self._amount, self._maximize = slack_factor, slack_amount, maximize
        self._best: dict[int, float] = {}
        self._best_by: dict[int, float] = {}

    @classmethod
    def from_spec(cls, spec: StoppingSpec, objectives: Sequence[Objective]) -> Self:
        assert isinstance(spec, Bandit)
        return cls(
            spec.grace,
            spec.interval,
            slack_factor=spec.slack_factor,
            slack_amount=spec.slack_amount,
            maximize=objectives[0].goal == "maximize",
        )

    def _is_bad(self, number: int, step: int, loss: float) -> bool:
        own = self._best[number] = min(loss, self._best.get(number, math.inf))
        best = self._best_by[step] = min(own, self._best_by.get(step, math.inf))
        return own > self._worst_allowed(best)

    def _worst_allowed(self, best: float) -> float:
        if self._amount is not None:
            return best + self._amount
        assert self._factor is not None
        metric = -best if self._maximize else best
        if self._maximize:
            return -(metric / (1 + self._factor) if metric >= 0 else metric * (1 + self._factor))
        return metric * (1 + self._factor) if metric >= 0 else metric / (1 + self._factor)

    def ended(self, number: int, state: TrialState) -> None:
        super().ended(number, state)
        self._best.pop(number, None)


class TruncationRule(SteppedRule):
    """Stops a trial that is among the worst percentage of all that reported at the same step.

    Azure Machine Learning's TruncationSelectionPolicy, decided for each trial when it reports.

    Args:
        grace: steps before the first judgement.
        interval: steps between judgements.
        percentage: the share that is stopped, from 1 to 99.
    """

    spec = Truncation

    def __init__(self, grace: int, interval: int, percentage: int) -> None:
        super().__init__(grace, interval)
        self._share = percentage / 100
        self._losses: dict[int, list[float]] = defaultdict(list)

    def _is_bad(self, number: int, step: int, loss: float) -> bool:  # noqa: ARG002
        losses = self._losses[step]
        insort(losses, loss)
        if len(losses) <= MIN_OTHERS:
            return False
        truncated = math.floor(self._share * len(losses))
        return truncated > 0 and bisect_left(losses, loss) >= len(losses) - truncated


class AshaRule(StoppingRule):
    """Asynchronous successive halving, the variant that stops (Li et al. 2018, arXiv 1810.05934).

    At the rungs min, min·eta, min·eta², … a trial goes on if it is among the best 1/eta of all that have reached
    the rung so far. A trial reaches a rung with its first report at or beyond it. Beyond the maximum nothing is
    stopped: a trial that comes so far is complete.

    Args:
        min_resource: the step of the first rung, at least 1.
        max_resource: the step beyond which nothing is stopped; None for no bound.
        eta: one in so many trials goes on at each rung, at least 2.
    """

    spec = Asha

    def __init__(self, min_resource: int, max_resource: int | None, eta: int) -> None:
        self._min, self._max, self._eta = min_resource, max_resource, eta
        self._rungs: dict[int, list[float]] = defaultdict(list)
        self._next: dict[int, int] = {}

    @classmethod
    def from_spec(cls, spec: StoppingSpec, objectives: Sequence[Objective]) -> StoppingRule:  # noqa: ARG003
        assert isinstance(spec, Asha)
        kind = cls if spec.resume is None else AshaPromotion
        return kind(spec.min_resource, spec.max_resource, spec.eta)

    def observe(self, number: int, step: int, loss: float) -> bool:
        rung = self._next.get(number, self._min)
        if step < rung or not math.isfinite(loss):
            return False
        while rung * self._eta <= step:
            rung *= self._eta
        self._next[number] = rung * self._eta
        if self._max is not None and step >= self._max:
            return False
        losses = self._rungs[rung]
        insort(losses, loss)
        allowed = max(1, len(losses) // self._eta)
        return len(losses) >= self._eta and loss > losses[allowed - 1]

    def ended(self, number: int, state: TrialState) -> None:  # noqa: ARG002  # what it reported stays true
        self._next.pop(number, None)
