"""What a Gaussian process makes of finished trials: the best that it expects, its intervals and the effects of parameters."""

import math
import random
import subprocess
import sys

import numpy as np
import pytest
from late import LATE

from cloudtune.space.parameters import Categorical, Float
from cloudtune.space.space import Space, Values

if LATE:
    from cloudtune.search.insight import LEAST, Insight

SPACE = Space(
    {
        "x": Float(low=0.0, high=1.0),
        "kind": Categorical(values=("a", "b")),
        "m": Float(low=0.0, high=1.0, when={"kind": "a"}),
        "idle": Float(low=0.0, high=1.0),
    }
)
NOISE = 0.05


def true_loss(values: Values) -> float:
    x, kind = values["x"], values["kind"]
    assert isinstance(x, float)
    return (x - 0.3) ** 2 + (0.5 if kind == "a" else 0.0) + 1.0


def noisy(count: int, seed: int = 1) -> list[tuple[Values, float]]:
    source = random.Random(seed)
    settings = [SPACE.at([source.random() for _ in SPACE.dimensions]) for _ in range(count)]
    return [(values, true_loss(values) + source.gauss(0, NOISE)) for values in settings]


@pytest.mark.parametrize("count", [60, 3000])
def test_the_best_is_expected_where_it_is_and_luck_is_not_believed(count: int) -> None:
    trials = noisy(count)
    insight = Insight(SPACE, trials)
    best = insight.best()
    assert best is not None
    assert best.parameters["kind"] == "b"
    assert true_loss(best.parameters) < 1.05
    assert best.low <= best.loss <= best.high
    assert best.low - 0.03 <= true_loss(best.parameters) <= best.high + 0.03
    lucky, value = min(trials, key=lambda pair: pair[1])
    assert insight.expected(lucky).loss > value  # the lowest of many noisy values is too low
    assert abs(insight.expected(lucky).loss - true_loss(lucky)) < abs(value - true_loss(lucky))


def test_effects_follow_the_parameters_that_matter_and_are_flat_for_the_others() -> None:
    insight = Insight(SPACE, noisy(120))
    by_name = {SPACE.dimensions[index].name: insight.effect(index) for index in range(4)}
    x, kind, m, idle = (by_name[name] for name in ("x", "kind", "m", "idle"))
    assert x is not None and kind is not None and m is not None and idle is not None  # noqa: PT018
    assert x.positions[x.losses.index(min(x.losses))] == pytest.approx(0.3, abs=0.11)
    assert max(idle.losses) - min(idle.losses) < 0.3 * (max(x.losses) - min(x.losses))
    assert 0.2 < kind.losses[0] - kind.losses[1] < 0.7  # the worse half is compressed
    assert all(low <= middle <= high for low, middle, high in zip(x.low, x.losses, x.high, strict=True))
    assert all(math.isfinite(value) for value in m.losses)


def test_the_best_is_looked_for_where_constraints_are_kept() -> None:
    trials = noisy(80)
    far = [0.6 - values["x"] for values, _ in trials]  # type: ignore[operator]  # x must be at least 0.6
    best = Insight(SPACE, trials, far).best()
    assert best is not None
    assert 0.55 < best.parameters["x"] < 0.75  # type: ignore[operator]
    assert Insight(SPACE, trials, [each + 9 for each in far]).best() is None


def test_few_trials_and_strange_ones_give_no_insight() -> None:
    assert not Insight(SPACE, noisy(LEAST - 1)).ready
    foreign: list[tuple[Values, float]] = [({"other": 1}, 0.0)] * 30
    assert not Insight(SPACE, foreign).ready
    same = Insight(SPACE, [(values, 1.0) for values, _ in noisy(20)])
    best = same.best()
    assert best is not None
    assert best.loss == pytest.approx(1.0)


def test_the_same_trials_give_the_same_insight() -> None:
    one, other = Insight(SPACE, noisy(40)), Insight(SPACE, noisy(40))
    assert one.best() == other.best()
    assert one.effect(0) == other.effect(0)


def test_intervals_hold_what_the_best_is_truly_worth_also_where_functions_have_edges() -> None:
    space, held = Space({f"x{index}": Float(low=0, high=1) for index in range(3)}), []
    for seed, truth in ((0, edge), (4, edge), (5, edge), (1, bowl), (0, wave)):
        source = np.random.default_rng(seed)
        settings: list[Values] = [
            {f"x{index}": float(each) for index, each in enumerate(point)} for point in source.random((50, 3))
        ]
        insight = Insight(space, [(each, truth(each) + 0.3 * float(source.standard_normal())) for each in settings])
        best = insight.best()
        assert best is not None
        held.append(best.low <= truth(best.parameters) <= best.high)
    assert sum(held) >= 4, "those of the process itself hold the last alone"


def test_an_interval_is_as_wide_as_what_trials_of_about_its_value_leave_unexplained() -> None:
    source = np.random.default_rng(0)
    settings: list[Values] = [{"x": float(each)} for each in source.random(80)]

    def loss(values: Values) -> float:
        x = float(str(values["x"]))
        return x + (0.2 * float(source.standard_normal()) if x < 0.3 else 0.0)  # only the good ones are uncertain

    insight = Insight(Space({"x": Float(low=0, high=1)}), [(each, loss(each)) for each in settings])
    good, bad = insight.expected({"x": 0.15}), insight.expected({"x": 0.7})
    assert good.high - good.low > 1.5 * (bad.high - bad.low)


def wave(values: Values) -> float:
    one, two, three = (float(str(values[f"x{index}"])) for index in range(3))
    return math.sin(5 * one) + math.cos(4 * two) + 0.5 * three


def edge(values: Values) -> float:
    one, two, _ = (float(str(values[f"x{index}"])) for index in range(3))
    return 2 * math.sqrt(abs(one - 0.3) + 0.3 * abs(two - 0.6))


def bowl(values: Values) -> float:
    return 4 * sum((float(str(each)) - 0.4) ** 2 for each in values.values())


BOUND = """
import random
import subprocess
import sys
from threadpoolctl import ThreadpoolController
from cloudtune import Float
from cloudtune.search.insight import Insight
from cloudtune.space.space import Space
draw = random.Random(0)
insight = Insight(Space({"x": Float(low=0, high=1)}), [({"x": x}, x * x) for x in (draw.random() for _ in range(12))])
there = {each.filepath for each in ThreadpoolController().select(user_api="blas").lib_controllers}
bound = {each.filepath for each in insight._blas.lib_controllers}
assert bound == there, (bound, there)
"""


def test_no_library_of_linear_algebra_spins_in_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", BOUND], check=True, timeout=100)
