"""Parameter importance: what decides stands first, what does not comes out near nothing."""

import math
import random
from collections.abc import Callable

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.results.importance import MIN_TRIALS, importance, importance_intervals
from cloudtune.space.parameters import Categorical, Constant, Float, Int
from cloudtune.space.space import Entries, Space, Values

UNIT = Float(low=0.0, high=1.0)


def shares(
    entries: Entries, loss: Callable[[Values], float], trials: int = 200, seed: int = 0
) -> tuple[Space, dict[str, float]]:
    """The importance in random trials of a function."""
    space, draw = Space(entries), random.Random(seed)
    values = [space.at([draw.random() for _ in space.dimensions]) for _ in range(trials)]
    found = importance(space, [(each, loss(each)) for each in values])
    assert found is not None
    return space, found


def number(values: Values, name: str) -> float:
    value = values[name]
    assert isinstance(value, int | float)
    return float(value)


def test_the_parameter_that_decides_takes_nearly_all() -> None:
    _, found = shares({"useless": UNIT, "strong": UNIT}, lambda values: (number(values, "strong") - 0.3) ** 2)
    assert list(found) == ["strong", "useless"]
    assert found["strong"] > 0.9


@pytest.mark.parametrize("trials", [20, 40, 100])
def test_chance_in_few_trials_does_not_make_many_useless_parameters_look_important(trials: int) -> None:
    entries: Entries = {"strong": UNIT, **{f"useless{index}": UNIT for index in range(6)}}
    strong = [shares(entries, lambda values: number(values, "strong"), trials, seed)[1]["strong"] for seed in range(8)]
    assert sum(strong) / len(strong) > 0.55


def test_a_stronger_influence_has_the_larger_share() -> None:
    def loss(values: Values) -> float:
        return 9 * (number(values, "more") - 0.5) ** 2 + 2 * (number(values, "less") - 0.5) ** 2

    _, found = shares({"less": UNIT, "none": UNIT, "more": UNIT}, loss, 400)
    assert found["more"] > found["less"] > found["none"]


def test_a_log_axis_is_judged_on_its_own_scale() -> None:
    entries: Entries = {"lr": Float(low=1e-6, high=1.0, scale="log"), "other": UNIT}
    _, found = shares(entries, lambda values: abs(math.log10(number(values, "lr")) + 4))
    assert found["lr"] > 0.9


def test_categories_and_whole_numbers_stand_beside_real_ones() -> None:
    entries: Entries = {
        "kind": Categorical(values=("a", None, True, 3)),
        "layers": Int(low=1, high=8),
        "other": UNIT,
    }
    _, found = shares(entries, lambda values: (values["kind"] is not None) + 0.001 * number(values, "layers"), 300)
    assert next(iter(found)) == "kind"
    assert found["other"] < 0.1


def test_a_condition_that_decides_is_the_parents_doing() -> None:
    entries: Entries = {
        "kernel": Categorical(values=("rbf", "poly")),
        "degree": Float(low=0, high=1, when={"kernel": ("poly",)}),
    }
    _, found = shares(entries, lambda values: (values["kernel"] == "rbf") + 0.01 * random.Random(str(values)).random())
    assert found["kernel"] > 0.9


def test_a_conditional_parameter_counts_where_it_exists() -> None:
    entries: Entries = {
        "kernel": Categorical(values=("rbf", "poly")),
        "degree": Float(low=0, high=1, when={"kernel": ("poly",)}),
        "width": Float(low=0, high=1, when={"kernel": ("rbf",)}),
    }
    _, found = shares(entries, lambda values: number(values, "degree") if "degree" in values else 0.9, 300)
    assert found["degree"] > 0.3 > found["width"]


def test_variants_of_a_name_are_one_parameter() -> None:
    entries: Entries = {
        "kind": Categorical(values=("sgd", "adam")),
        "lr": (
            Float(low=0.1, high=1.0, when={"kind": ("sgd",)}),
            Float(low=0.001, high=0.01, when={"kind": ("adam",)}),
        ),
    }
    _, found = shares(entries, lambda values: number(values, "lr") % 0.1)
    assert set(found) == {"kind", "lr"}


def test_too_few_trials_say_nothing() -> None:
    space = Space({"x": UNIT})
    trials: list[tuple[Values, float]] = [({"x": index / 10}, float(index)) for index in range(MIN_TRIALS)]
    assert importance(space, trials[:-1]) is None
    assert importance(space, trials) is not None


def test_parameters_of_one_value_are_left_out() -> None:
    fixed: Entries = {"one": Constant(value=3), "same": Float(low=2.0, high=2.0)}
    trial: Values = {"one": 3, "same": 2.0}
    assert importance(Space(fixed), [(trial, 1.0)] * 20) is None
    _, found = shares({**fixed, "x": UNIT}, lambda values: number(values, "x"))
    assert list(found) == ["x"]


def test_trials_of_another_space_are_left_out() -> None:
    trials: list[tuple[Values, float]] = [({"x": 0.5}, 1.0)] * MIN_TRIALS
    assert importance(Space({"x": UNIT}), [*trials, ({"x": 7.0}, 0.0), ({"y": 0.5}, 0.0)]) == {"x": 0.0}
    assert importance(Space({"x": UNIT}), [({"x": 7.0}, 0.0)] * 20) is None


@settings(max_examples=examples(40))
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("ab"), st.floats(-1e300, 1e300)), min_size=10, max_size=40))
def test_shares_are_finite_sum_to_one_or_are_all_nothing_and_never_change(
    drawn: list[tuple[float, str, float]],
) -> None:
    space = Space({"x": UNIT, "kind": Categorical(values=("a", "b"))})
    trials: list[tuple[Values, float]] = [({"x": x, "kind": kind}, loss) for x, kind, loss in drawn]
    found = importance(space, trials)
    assert found is not None
    assert found == importance(space, trials)
    assert all(math.isfinite(share) and share >= 0 for share in found.values())
    assert sum(found.values()) == pytest.approx(1.0) or not any(found.values())


def test_intervals_hold_the_shares_and_grow_narrower_with_more_trials() -> None:
    space = Space({name: Float(low=0.0, high=1.0) for name in "ab"})
    widths = {}
    for count in (30, 1000):
        source = random.Random(3)
        settings = [{"a": source.random(), "b": source.random()} for _ in range(count)]
        trials: list[tuple[Values, float]] = [
            (dict(each), (each["a"] - 0.5) ** 2 + 0.3 * each["b"] ** 2) for each in settings
        ]
        found, ends = importance(space, trials), importance_intervals(space, trials)
        assert found is not None
        for name, (low, high) in ends.items():
            assert 0.0 <= low <= high <= 1.0
            assert low - 0.15 <= found[name] <= high + 0.15
        widths[count] = ends["a"][1] - ends["a"][0]
    assert widths[1000] < 0.5 * widths[30]
    assert importance_intervals(space, trials[:5]) == {}
