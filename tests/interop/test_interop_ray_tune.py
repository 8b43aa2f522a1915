"""Spaces of Ray Tune as ours: every value that Ray draws is one of ours, as often as here."""

from typing import Any

import numpy as np
import pytest
from late import LATE

from cloudtune.interop.formats import Note
from cloudtune.space.parameters import Categorical, Constant, Float, Int, Normal, Parameter
from cloudtune.space.space import Space

if LATE:
    pytest.importorskip("ray.tune", exc_type=ImportError)
    from ray import tune

    from cloudtune.interop.ray_tune import grid_names, space_from_ray_tune


DOMAINS: list[tuple[Any, Parameter]] = [
    (lambda: tune.uniform(-1, 2), Float(low=-1, high=2)),
    (lambda: tune.loguniform(1e-4, 1e-1), Float(low=1e-4, high=1e-1, scale="log")),
    (lambda: tune.quniform(0.2, 1.0, 0.2), Float(low=0.2, high=1, step=0.2)),
    (lambda: tune.qloguniform(0.5, 8, 0.5), Float(low=0.5, high=8, step=0.5, scale="log")),
    (lambda: tune.randn(10, 2), Normal(mean=10, std=2)),
    (lambda: tune.qrandn(10, 2, 0.5), Normal(mean=10, std=2, step=0.5)),
    (lambda: tune.randint(1, 9), Int(low=1, high=8)),
    (lambda: tune.qrandint(3, 12, 3), Int(low=3, high=12, step=3)),
    (lambda: tune.qrandint(2, 13, 3), Int(low=3, high=12, step=3)),
    (lambda: tune.qrandint(1, 9), Int(low=1, high=8)),
    (lambda: tune.lograndint(1, 100), Int(low=1, high=99, scale="log")),
    (lambda: tune.qlograndint(8, 64, 8), Int(low=8, high=64, step=8, scale="log")),
    (lambda: tune.choice(["a", 1, True, None, 0.5]), Categorical(values=("a", 1, True, None, 0.5))),
    (lambda: tune.choice([np.float64(0.5), np.int64(2)]), Categorical(values=(0.5, 2))),
    (lambda: tune.grid_search([1, 2]), Categorical(values=(1, 2))),
    (lambda: 3, Constant(value=3)),
]


@pytest.mark.parametrize(("theirs", "ours"), DOMAINS)
def test_a_domain_becomes_the_parameter_that_it_is(theirs: Any, ours: Parameter) -> None:
    assert space_from_ray_tune({"x": theirs()}) == {"x": ours}


@pytest.mark.parametrize(("theirs", "ours"), DOMAINS[:-2])
def test_every_draw_of_ray_is_a_value(theirs: Any, ours: Parameter) -> None:
    axis = Space({"x": ours}).dimensions[0].axis
    source = np.random.default_rng(1)
    drawn = [theirs().sample(random_state=source) for _ in range(200)]
    found = [axis.at(axis.position(value)) for value in drawn]
    if isinstance(ours, Float | Int | Normal):
        assert found == pytest.approx(drawn, rel=1e-6)
    else:
        assert found == drawn


@pytest.mark.parametrize(("theirs", "ours", "off"), [
    (lambda: tune.uniform(-1, 2), Float(low=-1, high=2), 0.04),
    (lambda: tune.loguniform(1e-4, 1e-1), Float(low=1e-4, high=1e-1, scale="log"), 0.04),
    (lambda: tune.randn(10, 2), Normal(mean=10, std=2), 0.04),
    (lambda: tune.randint(1, 9), Int(low=1, high=8), 0.04),
    (lambda: tune.qrandint(3, 12, 3), Int(low=3, high=12, step=3), 0.04),
    (lambda: tune.lograndint(10, 1000), Int(low=10, high=999, scale="log"), 0.04),
])  # fmt: skip
def test_values_are_as_likely_as_in_ray(theirs: Any, ours: Parameter, off: float) -> None:
    notes: list[Note] = []
    space_from_ray_tune({"x": theirs()}, notes)
    if isinstance(ours, Int) and ours.step != 1 and notes:
        pytest.skip("this version of Ray draws the ends less often, as the import notes")
    axis = Space({"x": ours}).dimensions[0].axis
    drawn = np.sort(theirs().sample(size=4000, random_state=np.random.default_rng(2)))
    own = np.sort([float(axis.at(position)) for position in np.random.default_rng(3).random(4000)])  # type: ignore[arg-type]
    steps = np.union1d(drawn, own)
    shares = [np.searchsorted(values, steps, side="right") / 4000 for values in (drawn, own)]
    assert np.max(np.abs(shares[0] - shares[1])) < off  # Kolmogorov and Smirnov's distance


def test_nested_spaces_are_named_by_their_path_and_grids_are_known() -> None:
    space = {"net": {"lr": tune.uniform(0, 1), "act": "relu"}, "layers": [tune.randint(1, 9), {"g": tune.grid_search([1])}]}  # fmt: skip
    assert list(space_from_ray_tune(space)) == ["net.lr", "net.act", "layers.0", "layers.1.g"]
    assert grid_names({**space, "k": tune.search.sample.Categorical(["a"]).grid()}) == ["layers.1.g", "k"]


@pytest.mark.parametrize(("space", "message"), [
    (lambda: {"net": {"x": tune.sample_from(lambda config: 1)}}, r"net\.x: it is computed \(sample_from\)"),
    (lambda: {"x": tune.choice([(1, 2), (3,)])}, r"x: cloudtune has no value \(1, 2\)"),
    (lambda: {"x": lambda: 1}, "x: cloudtune has no value <function"),
    (lambda: {"x": [1, 2]}, r"x: cloudtune has no value \[1, 2\]"),
    (lambda: {"a.b": 1, "a": {"b": 2}}, r"a\.b: two parameters would have this name"),
    (lambda: {"x": tune.choice([1, 1])}, "x: .*twice"),
])  # fmt: skip
def test_what_a_spec_cannot_hold_is_refused_by_name(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space_from_ray_tune(space())
