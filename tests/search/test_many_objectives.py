"""The weighing of three objectives and more, and what a search makes of it."""

import math
from typing import Any

import numpy as np
import pytest
from late import LATE

from cloudtune.search import Search
from cloudtune.search.arrays import Array
from cloudtune.search.pareto import front, hypervolume

if LATE:
    from cloudtune.search.scalarized import LogExpectedScalar


class Known:
    """Two functions of two features in closed form, with their derivatives: a mean and a deviation."""

    def __init__(self, centre: float, deviation: float) -> None:
        self._centre, self._deviation = centre, deviation

    def predict(self, features: Array) -> tuple[Array, Array]:
        mean = ((features - self._centre) ** 2).sum(axis=1)
        return mean, self._deviation * (1 + 0.5 * features[:, 0])

    def slopes(self, features: Array) -> tuple[Array, Array, Array, Array]:
        by_deviation = np.zeros_like(features)
        by_deviation[:, 0] = 0.5 * self._deviation
        return *self.predict(features), 2 * (features - self._centre), by_deviation


BELIEFS = [Known(0.1, 0.3), Known(0.5, 0.2), Known(0.9, 0.4)]
RIVALS = np.array([[0.5, 0.2, 0.9], [0.2, 0.6, 0.7], [0.9, 0.9, 0.95]])


def test_the_slopes_are_those_of_the_values() -> None:
    worth = LogExpectedScalar(BELIEFS, RIVALS, np.array([0.2, 0.5, 0.3]))
    points, step = np.random.default_rng(2).random((6, 2)), 1e-6
    values, slopes = worth.slopes(points)
    assert values == pytest.approx(worth(points))
    for column in range(2):
        moved = np.zeros_like(points)
        moved[:, column] = step
        assert slopes[:, column] == pytest.approx(
            (worth(points + moved) - worth(points - moved)) / (2 * step), rel=1e-3
        )


def test_the_weight_says_which_objective_is_improved() -> None:
    points = np.array([[0.1, 0.1], [0.9, 0.9]])
    for weights, best in (((0.9, 0.05, 0.05), 0), ((0.05, 0.05, 0.9), 1)):
        assert int(np.argmax(LogExpectedScalar(BELIEFS, RIVALS, np.array(weights))(points))) == best


def test_a_point_far_from_any_improvement_has_a_slope() -> None:
    sure = [Known(0.1, 1e-3), Known(0.5, 1e-3), Known(0.9, 1e-3)]
    value, slope = LogExpectedScalar(sure, np.array([[0.01, 0.4, 1.2]]), np.ones(3) / 3).slopes(np.array([[0.8, 0.2]]))
    assert np.isfinite(value).all()
    assert np.abs(slope).max() > 0.1


def dtlz2(x: Array) -> dict[str, float]:
    """A third of a sphere as the front of three objectives (Deb et al. 2002, doi 10.1109/CEC.2002.1007032)."""
    radius, (one, two) = 1 + float(((x[2:] - 0.5) ** 2).sum()), x[:2] * math.pi / 2
    return {
        "a": radius * math.cos(one) * math.cos(two),
        "b": radius * math.cos(one) * math.sin(two),
        "c": radius * math.sin(one),
    }


def volume(strategy: str, seed: int) -> float:
    space: dict[str, Any] = {f"x{index}": {"type": "float", "low": 0, "high": 1} for index in range(5)}
    search = Search(space, [{"metric": name, "goal": "minimize"} for name in "abc"], strategy, seed=seed, trials=40)
    losses = []
    while (trial := search.ask()) is not None:
        metrics = dtlz2(np.array([trial.parameters[name] for name in space], dtype=float))
        losses.append(list(metrics.values()))
        search.tell(trial, metrics)
    known = np.array(losses)
    return hypervolume(known[front(known)], np.full(3, 1.5))


def test_the_front_of_three_objectives_is_approached() -> None:
    found, blind = ([volume(strategy, seed) for seed in (0, 1)] for strategy in ("bayesian", "random"))
    assert np.mean(found) > 1.05 * np.mean(blind)
