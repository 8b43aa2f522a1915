"""The Bayesian search: that it learns, bears anything, and computes what its docstrings say."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from late import LATE

from cloudtune.search.bayesian import BayesianSearch
from cloudtune.search.encoding import Encoding
from cloudtune.search.pareto import boxes, hypervolume
from cloudtune.search.random_search import RandomSearch
from cloudtune.space.parameters import Categorical, Constant, Float, Int, Ordinal
from cloudtune.space.space import Space, Values
from cloudtune.store.records import TrialState

if LATE:
    from scipy.integrate import quad
    from scipy.optimize import check_grad
    from scipy.stats import norm

    from cloudtune.search import Observation, Strategy, gp
    from cloudtune.search.acquisition import LogExpectedImprovement, LogExpectedVolume, LogMixture, log_improvement
    from cloudtune.search.acquisition_optimizer import AcquisitionOptimizer, keys
    from cloudtune.search.dataset import Dataset
    from cloudtune.search.surrogate import choice_point, fit_point
    from cloudtune.search.warping import warp


MIXED = {
    "kind": Categorical(values=("a", "b", "c")),
    "count": Int(low=1, high=100, scale="log"),
    "part": Float(low=0, high=1, when={"kind": ("a",)}),
    "rate": Float(low=1e-4, high=1, scale="log", when={"kind": ("b", "c")}),
    "step": Float(low=0.1, high=0.5, step=0.1),
}


def told(number: int, values: Values, loss: float, state: TrialState = TrialState.COMPLETED) -> Observation:
    return Observation(number, values, state, None if state is TrialState.FAILED else (loss,))


def branin(v: Values) -> float:
    x, y = float(v["x"] or 0), float(v["y"] or 0)
    return (
        (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def mixed(v: Values) -> float:
    base = {"a": 0.3, "b": 0.0, "c": 1.0}[str(v["kind"])] + (math.log10(float(v["count"] or 1)) - 1) ** 2
    return base + (
        0.3 * (math.log10(float(v["rate"] or 1)) + 2) ** 2 if "rate" in v else (float(v["part"] or 0) - 0.5) ** 2
    )


def best_of(search: Strategy, function: Callable[[Values], float], trials: int, parallel: int = 1) -> float:
    best, running = math.inf, {}
    for number in range(trials):
        values = search.suggest(number)
        assert values is not None
        running[number] = values
        if len(running) >= parallel:
            ended = min(running)
            loss = function(running[ended])
            best = min(best, loss)
            search.observe(told(ended, running.pop(ended), loss))
    return best


PLANE = {"x": Float(low=-5, high=10), "y": Float(low=0, high=15)}


@pytest.mark.parametrize(("function", "entries", "good", "parallel"), [
    (branin, PLANE, 0.45, 1),
    (mixed, MIXED, 0.02, 4),
    pytest.param(branin, PLANE, 0.45, 4, marks=pytest.mark.complete),
    pytest.param(mixed, MIXED, 0.02, 1, marks=pytest.mark.complete),
])  # fmt: skip
def test_the_model_finds_what_random_search_does_not(function: Any, entries: Any, good: float, parallel: int) -> None:
    space = Space(entries)
    ours = sorted(best_of(BayesianSearch(space, seed=seed, budget=40), function, 40, parallel) for seed in range(3))
    random_best = sorted(best_of(RandomSearch(space, seed=seed), function, 40) for seed in range(3))
    assert ours[1] < random_best[1]
    assert ours[1] <= good


@pytest.mark.parametrize("losses", [
    lambda n: 1.0, lambda n: [1e300, -1e300, 0.0, 1e-300][n % 4], lambda n: float(n % 2), lambda n: 1e-320 * n,
], ids=["constant", "huge", "two values", "denormal"])  # fmt: skip
def test_the_model_bears_any_numbers(losses: Callable[[int], float]) -> None:
    search = BayesianSearch(Space(MIXED), startup=4, budget=20)
    for number in range(20):
        values = search.suggest(number)
        assert values is not None
        search.observe(told(number, values, losses(number)))


def test_the_model_bears_failures_alone_and_among_others() -> None:
    for fails in (lambda n: True, lambda n: n % 2 == 0):
        search = BayesianSearch(Space(MIXED), startup=4, budget=20)
        for number in range(16):
            values = search.suggest(number)
            assert values is not None
            search.observe(told(number, values, 1.0, TrialState.FAILED if fails(number) else TrialState.COMPLETED))


def test_the_model_exhausts_a_finite_space_without_repetition() -> None:
    space = Space({"c": Categorical(values=("a", "b", "c")), "n": Int(low=1, high=4)})
    search = BayesianSearch(space, budget=20)
    seen = []
    while (values := search.suggest(len(seen))) is not None:
        search.observe(told(len(seen), values, float(values["n"] or 0)))
        seen.append(space.key(values))
    assert len(seen) == len(set(seen)) == 12


@pytest.mark.parametrize("size", [1, 40])
def test_the_model_searches_one_dimension_and_many(size: int) -> None:
    entries = {f"x{index}": Float(low=0, high=1) for index in range(size)} | {"fixed": Constant(value="v")}
    assert (
        best_of(
            BayesianSearch(Space(entries), startup=5), lambda v: sum(float(v[f"x{i}"] or 0) for i in range(size)), 12
        )
        < size
    )


def test_several_objectives_spread_over_their_front() -> None:
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1)})
    search = BayesianSearch(space, objectives=2, budget=40, seed=1)
    points = []
    for number in range(40):
        values = search.suggest(number)
        assert values is not None
        x, y = float(values["x"] or 0), float(values["y"] or 0)
        points.append((x, (1 - x) + y))
        search.observe(Observation(number, values, TrialState.COMPLETED, points[-1]))
    front = [p for p in points[10:] if p[1] - (1 - p[0]) < 0.1]
    assert len(front) >= 15, "most trials lie near the front, where y is 0"
    assert min(p[0] for p in front) < 0.25
    assert max(p[0] for p in front) > 0.75


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_warping_keeps_the_order_and_tames_the_size(losses: list[float]) -> None:
    warped = warp(np.array(losses))
    assert np.isfinite(warped).all()
    assert abs(warped).max() < 20
    order = np.argsort(losses, kind="stable")
    assert (np.diff(warped[order]) >= -1e-9).all()


def test_the_first_trials_of_a_bayesian_search_need_neither_numpy_nor_scipy() -> None:
    code = (
        "import sys; from cloudtune.space.space import Space; from cloudtune import Float\n"
        "from cloudtune.search.bayesian import BayesianSearch\n"
        "print(BayesianSearch(Space({'x': Float(low=0, high=1)})).suggest(0), 'numpy' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["False", "False"]


def test_failed_trials_are_kept_away_from() -> None:
    """Half of the space fails; after the start nearly all trials are where they succeed."""
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1)})
    search = BayesianSearch(space, budget=40, seed=3)
    failed = 0
    for number in range(40):
        values = search.suggest(number)
        assert values is not None
        x, y = float(values["x"] or 0), float(values["y"] or 0)
        fails = x > 0.5
        failed += fails and number >= 15
        search.observe(
            told(number, values, (x - 0.4) ** 2 + (y - 0.5) ** 2, TrialState.FAILED if fails else TrialState.COMPLETED)
        )
    assert failed <= 8


def test_a_pruned_trial_does_not_count_as_good_whatever_it_reported_early() -> None:
    """Losses of trials that were stopped early are lower than any final one, and must not attract."""
    space = Space({"x": Float(low=0, high=1)})
    search = BayesianSearch(space, budget=30, seed=1)
    last = []
    for number in range(30):
        values = search.suggest(number)
        assert values is not None
        x = float(values["x"] or 0)
        pruned = x > 0.6
        loss = 0.0 if pruned else 1.0 + abs(x - 0.2)
        search.observe(told(number, values, loss, TrialState.PRUNED if pruned else TrialState.COMPLETED))
        last.append(x)
    assert sum(x > 0.6 for x in last[15:]) <= 8, "taken at their word, nearly all would be there"


def test_sixty_four_in_flight_are_all_different_and_possible() -> None:
    space = Space(MIXED)
    search = BayesianSearch(space, budget=200, seed=1)
    for number in range(12):
        values = search.suggest(number)
        assert values is not None
        search.observe(told(number, values, mixed(values)))
    flying = [search.suggest(number) for number in range(12, 76)]
    assert all(values is not None and space.contains(values) for values in flying)
    assert len({space.key(values) for values in flying if values is not None}) == 64


@pytest.mark.parametrize("dimensions", [2, 6])
def test_sixty_four_in_flight_keep_apart_where_the_model_is_certain(dimensions: int) -> None:
    space = Space({f"x{index}": Float(low=-1, high=1) for index in range(dimensions)})
    search, known = BayesianSearch(space, budget=200, seed=1), RandomSearch(space, seed=2)
    for number in range(40):
        values = known.suggest(number) or {}
        search.restore(number, values)
        search.observe(told(number, values, sum(float(x or 0) ** 2 for x in values.values())))
    flying = [search.suggest(number) or {} for number in range(40, 104)]
    points = np.array([space.positions(values) for values in flying], dtype=float)
    distances = np.sqrt(np.square(points[:, None] - points).mean(axis=2)) + np.eye(64)
    assert distances.min() > 0.004
    nearest = np.abs(points - 0.5).max(axis=1)
    assert nearest.min() < 0.15, "one of them is where the optimum should be"


def test_trials_of_another_experiment_are_tried_first_and_then_believed_as_far_as_they_hold() -> None:
    """The other's losses are on another scale; its best is near to ours, so that few trials are enough."""
    space = Space({f"x{index}": Float(low=0, high=1) for index in range(5)})
    goal = (0.7, 0.2, 0.9, 0.4, 0.1)

    def loss(values: Values, shift: float) -> float:
        return sum((float(x or 0) - at - shift) ** 2 for x, at in zip(values.values(), goal, strict=True))

    def search(seed: int, *, hinted: bool) -> float:
        ours = BayesianSearch(space, budget=15, seed=seed)
        other = RandomSearch(space, seed=seed + 50)
        for number in range(40 * hinted):
            values = other.suggest(number) or {}
            told_there = (1e4 + 500 * loss(values, 0.05),)
            ours.hint(Observation(-number - 1, values, TrialState.COMPLETED, told_there, "other"))
        return best_of(ours, lambda values: loss(values, 0.0), 15)

    with_hints = sorted(search(seed, hinted=True) for seed in range(3))
    without = sorted(search(seed, hinted=False) for seed in range(3))
    assert with_hints[1] < 0.5 * without[1]


def test_the_best_trials_of_another_experiment_come_first() -> None:
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1)})
    first = BayesianSearch(space, seed=2)
    first.hint(Observation(-1, {"x": 0.1, "y": 0.9}, TrialState.COMPLETED, (5.0,), "other"))
    first.hint(Observation(-2, {"x": 0.3, "y": 0.8}, TrialState.COMPLETED, (2.0,), "other"))
    assert [first.suggest(0), first.suggest(1)] == [{"x": 0.3, "y": 0.8}, {"x": 0.1, "y": 0.9}]


def test_known_trials_of_the_same_experiment_take_the_place_of_the_start() -> None:
    space = Space({"x": Float(low=0, high=1)})
    search = BayesianSearch(space, budget=10, seed=2)
    for number in range(8):
        search.observe(told(-number - 1, {"x": number / 8}, abs(number / 8 - 0.6)))
    values = search.suggest(0)
    assert values is not None
    assert abs(float(values["x"] or 0) - 0.6) < 0.1


# Parts


def _data(count: int, space: Space, seed: int) -> tuple[Encoding, gp.Data]:
    source = np.random.default_rng(seed)
    encoding = Encoding(space)
    features = encoding.features(encoding.snap(source.random((count, encoding.size))))
    return encoding, gp.Data(features, encoding.owner, source.standard_normal(count), 0.1 * source.random(count))


def _posterior(count: int, space: Space, seed: int) -> tuple[Encoding, gp.Posterior]:
    encoding, data = _data(count, space, seed)
    weights = np.random.default_rng(seed + 1).uniform(0.5, 3.0, encoding.size)
    return encoding, gp.Posterior(data, gp.Hyperparameters(weights, 1.3, 0.01))


@given(st.integers(2, 9), st.integers(0, 5))
@settings(max_examples=examples(15), deadline=None)
def test_the_gradient_of_the_hyperparameters_is_the_one_of_its_differences(count: int, seed: int) -> None:
    encoding, data = _data(count, Space(MIXED), seed)
    loss = gp._Loss(data, encoding.size, gp.Prior(-1.0, 0.5))
    at = np.random.default_rng(seed).uniform(-1, 1, encoding.size + 2)
    assert check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], at) < 1e-4


def test_predictions_are_those_of_the_textbook() -> None:
    """Conditioning a joint normal distribution (Rasmussen & Williams 2006, eq. 2.25-2.26), written out plainly."""
    space = Space({"x": Float(low=0, high=1), "k": Categorical(values=("a", "b", "c"))})
    encoding, data = _data(6, space, 1)
    hyper = gp.Hyperparameters(np.array([4.0, 1.0]), 2.0, 0.05)
    new = encoding.features(encoding.snap(np.random.default_rng(5).random((4, 2))))

    def kernel(one: Any, other: Any) -> float:
        difference = [(one[0] - other[0]) ** 2, 0.0 if np.allclose(one[1:], other[1:]) else 1.0]
        r = math.sqrt(5 * (4.0 * difference[0] + difference[1]))
        return 2.0 * (1 + r + r * r / 3) * math.exp(-r)

    among = np.array([[kernel(a, b) for b in data.features] for a in data.features])
    among += np.diag(0.05 + data.doubt)
    across = np.array([[kernel(a, b) for b in data.features] for a in new])
    mean, deviation = gp.Posterior(data, hyper).predict(new)
    np.testing.assert_allclose(mean, across @ np.linalg.solve(among, data.targets), atol=1e-6)
    variance = 2.0 - np.einsum("ij,ji->i", across, np.linalg.solve(among, across.T))
    np.testing.assert_allclose(deviation, np.sqrt(variance), atol=1e-6)


def test_rows_that_are_added_to_a_factor_change_nothing() -> None:
    encoding, data = _data(20, Space(MIXED), 3)
    hyper = gp.Hyperparameters(np.ones(encoding.size), 1.0, 0.01)
    first = gp.Data(data.features[:12], data.owner, data.targets[:12], data.doubt[:12])
    extended = gp.Posterior(data, hyper, gp.Posterior(first, hyper).factor)
    np.testing.assert_allclose(extended.factor, gp.Posterior(data, hyper).factor, atol=1e-6)


def test_leaving_one_out_is_what_it_says() -> None:
    _, data = _data(7, Space(MIXED), 4)
    hyper = gp.Hyperparameters(np.ones(5), 1.5, 0.1)
    total = 0.0
    for index in range(7):
        others = np.delete(np.arange(7), index)
        rest = gp.Data(data.features[others], data.owner, data.targets[others], data.doubt[others])
        mean, deviation = gp.Posterior(rest, hyper).predict(data.features[index : index + 1])
        spread = math.sqrt(deviation[0] ** 2 + 0.1 + data.doubt[index])
        total += norm.logpdf(data.targets[index], mean[0], spread)
    expected = total + 7 * 0.5 * math.log(2 * math.pi)
    assert gp.Posterior(data, hyper).leave_one_out() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("dimensions", "budget", "more", "expected"),
    [(2, None, {}, 5), (5, None, {}, 6), (10, 60, {}, 11), (10, 12, {}, 4), (40, None, {}, 20),
     (5, None, {"objectives": 2}, 10), (5, None, {"constraints": 1}, 10), (5, 6, {"objectives": 2}, 4)],
)  # fmt: skip
def test_the_start_is_one_trial_a_dimension_and_one_more_where_one_model_learns(
    dimensions: int, budget: int | None, more: dict[str, int], expected: int
) -> None:
    space = Space({f"x{index}": Float(low=0, high=1) for index in range(dimensions)})
    assert BayesianSearch(space, seed=0, budget=budget, **more).startup == expected


def test_pending_trials_take_away_doubt_and_add_no_hope() -> None:
    encoding, posterior = _posterior(10, Space(MIXED), 1)
    waiting = encoding.features(encoding.snap(np.random.default_rng(8).random((3, encoding.size))))
    before, after = posterior.predict(waiting), posterior.with_pending(waiting).predict(waiting)
    np.testing.assert_allclose(after[0], before[0], atol=1e-3)
    assert (after[1] < 0.3 * before[1]).all()


@given(st.floats(-40, 6))
def test_the_logarithm_of_the_improvement_is_right_where_plain_numbers_are_and_finite_where_not(z: float) -> None:
    logarithm = float(log_improvement(np.array([z]))[0])
    assert math.isfinite(logarithm)
    if z > -5:
        expected, _ = quad(lambda x: max(z - x, 0.0) * norm.pdf(x), -12, z)
        assert logarithm == pytest.approx(math.log(expected), abs=1e-5)


def _acquisitions(seed: int) -> tuple[Encoding, dict[str, Any]]:
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1), "k": Categorical(values=("a", "b"))})
    encoding, first = _posterior(8, space, seed)
    second = _posterior(8, space, seed + 7)[1]
    lower, upper = boxes(np.array([[-0.5, 0.5], [0.5, -0.5]]), np.array([1.0, 1.0]))
    parts = [LogExpectedImprovement(first, first.best), LogExpectedImprovement(second, second.best)]
    return encoding, {
        "improvement": parts[0],
        "mixture": LogMixture(parts, np.array([0.3, 0.7])),
        "volume": LogExpectedVolume([first, second], lower, upper),
    }


@pytest.mark.parametrize("name", ["improvement", "mixture", "volume"])
@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_of_an_acquisition_is_the_one_of_its_differences(name: str, seed: int) -> None:
    encoding, acquisitions = _acquisitions(seed)
    worth = acquisitions[name]
    at = encoding.features(encoding.snap(np.random.default_rng(seed).random((1, 3))))[0]
    assert float(worth.slopes(at[None])[0][0]) == pytest.approx(float(worth(at[None])[0]), abs=1e-9)
    error = check_grad(lambda x: float(worth(x[None])[0]), lambda x: worth.slopes(x[None])[1][0], at)
    assert error < 1e-4 * max(1.0, float(np.abs(worth.slopes(at[None])[1]).max()))


def test_the_expected_volume_is_the_mean_of_what_draws_add() -> None:
    encoding, acquisitions = _acquisitions(2)
    worth = acquisitions["volume"]
    at = encoding.features(encoding.snap(np.random.default_rng(1).random((1, 3))))
    source, front, reference = np.random.default_rng(0), np.array([[-0.5, 0.5], [0.5, -0.5]]), np.array([1.0, 1.0])
    predictions = [posterior.predict(at) for posterior in worth._posteriors]
    draws = np.stack([source.normal(mean[0], deviation[0], 4000) for mean, deviation in predictions], axis=1)
    before = hypervolume(front, reference)
    added = [hypervolume(np.vstack([front, draw]), reference) - before for draw in draws]
    assert math.exp(float(worth(at)[0])) == pytest.approx(np.mean(added), abs=4 * np.std(added) / math.sqrt(4000))


def test_the_maximum_is_found_on_levels_branches_and_continua_at_once() -> None:
    encoding = Encoding(Space(MIXED))
    goal = encoding.features(encoding.rows([{"kind": "b", "count": 37, "rate": 0.0123, "step": 0.4}]))

    class Near:
        def __call__(self, features: Any) -> Any:
            return -np.square(features - goal).sum(axis=1)

        def slopes(self, features: Any) -> tuple[Any, Any]:
            return self(features), -2.0 * (features - goal)

    anchors = encoding.rows([{"kind": "a", "count": 2, "part": 0.5, "step": 0.1}])
    nothing = encoding.features(encoding.rows([]))
    row = AcquisitionOptimizer(encoding, Near(), np.random.default_rng(0)).best(anchors, set(), nothing)
    assert row is not None
    found = encoding.values(row)
    assert (found["kind"], found["count"], found["step"]) == ("b", 37, 0.4)
    assert float(found["rate"] or 0) == pytest.approx(0.0123, rel=0.02)
    other = AcquisitionOptimizer(encoding, Near(), np.random.default_rng(0)).best(
        anchors, set(keys(row[None])), nothing
    )
    assert other is not None
    assert encoding.values(other) != found, "what is taken is not suggested"
    apart = AcquisitionOptimizer(encoding, Near(), np.random.default_rng(0)).best(
        anchors, set(), encoding.features(row[None])
    )
    assert apart is not None
    assert np.linalg.norm(encoding.features(apart[None]) - encoding.features(row[None])) > 0.005


def test_failed_and_pruned_trials_count_as_what_they_say_of_the_final_loss() -> None:
    records = Dataset(Encoding(Space({"x": Float(low=0, high=1)})), 1)
    states = [
        TrialState.COMPLETED,
        TrialState.COMPLETED,
        TrialState.COMPLETED,
        TrialState.PRUNED,
        TrialState.PRUNED,
        TrialState.FAILED,
    ]
    for number, (state, loss) in enumerate(zip(states, (1.0, 2.0, 4.0, 0.5, 3.0, math.nan), strict=True)):
        records.add([told(number, {"x": number / 10}, loss, state)])
    assert records.losses(6)[:, 0].tolist() == [1.0, 2.0, 4.0, 2.0, 3.0, 4.0]
    assert records.losses(2)[:, 0].tolist() == [1.0, 2.0]
    assert (records.doubt > 0).tolist() == [False] * 5 + [True]
    assert records.usable == 5


def test_hyperparameters_are_fitted_seldom() -> None:
    points = sorted({fit_point(count) for count in (*range(1, 64), *range(64, 10_001, 5))})
    assert points[:12] == list(range(1, 13))
    assert all(fit_point(point) == point for point in points)
    after_doubling = [sum(point.bit_length() == bits for point in points) for bits in range(1, 15)]
    assert max(after_doubling) <= 10, "a resume repeats the fits since the count doubled, and no others"
    assert max(count - choice_point(count) for count in range(1, 10_001, 49)) < 50, "few join the chosen observations"


def test_a_search_of_many_trials_goes_on_after_a_resume_as_it_would_have() -> None:
    space, source = Space({"x": Float(low=0, high=1)}), np.random.default_rng(0)
    history = [told(n, {"x": x}, (x - 0.3) ** 2) for n, x in enumerate(source.random(604).tolist())]
    going, resumed = BayesianSearch(space, seed=0), BayesianSearch(space, seed=0)
    for observation in history:
        if observation.number in (549, 560, 599):  # before, between and at what is fitted and chosen anew
            going.suggest(observation.number)
        going.observe(observation)
        resumed.observe(observation)
    assert going.suggest(604) == resumed.suggest(604)


def test_axes_of_many_levels_and_of_one_are_searched_too() -> None:
    space = Space({"n": Int(low=1, high=10**6), "one": Constant(value=3), "o": Ordinal(values=("s", "m", "l"))})
    best = best_of(
        BayesianSearch(space, budget=30, seed=1),
        lambda v: abs(float(v["n"] or 0) - 654_321) / 1e6 + (v["o"] != "m"),
        30,
    )
    assert best < 0.02


def test_a_hundred_dimensions_are_searched() -> None:
    space = Space({f"x{index}": Float(low=0, high=1) for index in range(100)})
    drawn = best_of(RandomSearch(space, seed=1), lambda v: sum((float(x or 0) - 0.5) ** 2 for x in v.values()), 40)
    ours = best_of(
        BayesianSearch(space, budget=40, seed=1), lambda v: sum((float(x or 0) - 0.5) ** 2 for x in v.values()), 40
    )
    assert ours < drawn
