"""Search spaces of Optuna and HyperOpt, to and from ours: every value that they draw is one of ours, and back."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from late import LATE

from cloudtune.space.parameters import (
    Categorical,
    Constant,
    Float,
    Int,
    LogNormal,
    Normal,
    Ordinal,
    Parameter,
    same_scalar,
)
from cloudtune.space.space import Space
from cloudtune.testing.specs import spaces

if LATE:
    optuna = pytest.importorskip("optuna")
    hyperopt = pytest.importorskip("hyperopt")
    from hyperopt import hp
    from hyperopt.pyll import scope
    from hyperopt.pyll.stochastic import sample
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    from cloudtune.interop import Carrier, to_hyperopt
    from cloudtune.interop import optuna as from_optuna
    from cloudtune.interop.hyperopt import space_from_hyperopt
    from cloudtune.interop.optuna import optuna_distributions, space_from_optuna
    from cloudtune.interop.to_hyperopt import hyperopt_space, values_from_hyperopt

    optuna.logging.set_verbosity(optuna.logging.ERROR)


def short(value: Any) -> str:
    return type(value).__name__


def returns_unchanged(space: Space, carriers: dict[str, Carrier], source: random.Random) -> bool:
    """Whether drawn values of every dimension survive the way there and back."""
    for dimension in space.dimensions:
        carrier = carriers.get(dimension.key)
        for position in [0.0, 1.0, *(source.random() for _ in range(5))]:
            value = dimension.axis.at(position)
            if carrier is not None and not same_scalar(carrier.decode(carrier.encode(value)), value):
                return False
    return True


# Optuna

SAME = [
    (lambda: FloatDistribution(-1, 2), Float(low=-1, high=2)),
    (lambda: FloatDistribution(1e-5, 1e-1, log=True), Float(low=1e-5, high=1e-1, scale="log")),
    (lambda: FloatDistribution(0.1, 0.5, step=0.1), Float(low=0.1, high=0.5, step=0.1)),
    (lambda: FloatDistribution(3, 3), Float(low=3, high=3)),
    (lambda: IntDistribution(1, 9, step=2), Int(low=1, high=9, step=2)),
    (lambda: IntDistribution(1, 1024, log=True), Int(low=1, high=1024, scale="log")),
    (lambda: CategoricalDistribution(("a", None, True, 2, 0.5)), Categorical(values=("a", None, True, 2, 0.5))),
    (lambda: CategoricalDistribution(np.array([0.5, 2])), Categorical(values=(0.5, 2))),
]


@pytest.mark.parametrize(("theirs", "ours"), SAME, ids=short)
def test_a_distribution_of_optuna_becomes_the_parameter_that_it_is(theirs: Any, ours: Parameter) -> None:
    distribution = theirs()
    space = space_from_optuna({"x": distribution})
    assert space == {"x": ours}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    assert all(Space(space).contains(study.ask({"x": distribution}).params) for _ in range(50))


@pytest.mark.parametrize("ours", [ours for _, ours in SAME if ours != Float(low=3, high=3)], ids=short)
def test_what_optuna_has_comes_back_as_it_went(ours: Parameter) -> None:
    assert space_from_optuna(optuna_distributions(Space({"x": ours}))) == {"x": ours}


@pytest.mark.parametrize(("ours", "theirs"), [
    (Ordinal(values=("low", "mid", "high")), lambda: IntDistribution(0, 2)),
    (Categorical(values=(1, True, "x")), lambda: CategoricalDistribution((0, 1, 2))),
    (Normal(mean=0, std=1), lambda: FloatDistribution(0, 1)),
    (LogNormal(mean=0, std=1, step=0.5), lambda: FloatDistribution(0, 1)),
    (Float(low=0, high=0.9, scale="reverse_log"), lambda: FloatDistribution(0, 1)),
    (Float(low=1, high=9, step=2, scale="log"), lambda: FloatDistribution(0, 1)),
    (Int(low=8, high=64, step=8, scale="log"), lambda: FloatDistribution(0, 1)),
    (Float(low=1, high=1 + 1e-12), lambda: FloatDistribution(0, 1)),
    (Float(low=4096, high=4096 + 2**-12, step=2**-14), lambda: IntDistribution(0, 4)),
    (Float(low=0.1, high=0.55, step=0.2), lambda: FloatDistribution(0.1, 0.5, step=0.2)),
    (Float(low=8.444218515250482, high=9.444218515250482, step=1 / 7), lambda: IntDistribution(0, 7)),
    (Constant(value="v"), lambda: CategoricalDistribution(("v",))),
], ids=short)  # fmt: skip
def test_what_optuna_has_not_travels_as_a_number(ours: Parameter, theirs: Any) -> None:
    assert optuna_distributions(Space({"x": ours})) == {"x": theirs()}


def test_variants_and_conditions_have_a_distribution_each() -> None:
    variants = (Int(low=0, high=1, when={"k": 1}), Int(low=5, high=6, when={"k": 2}))
    found = optuna_distributions(Space({"k": Categorical(values=(1, 2)), "x": variants}))
    assert {key: found[key] for key in ("x[0]", "x[1]")} == {
        "x[0]": IntDistribution(0, 1),
        "x[1]": IntDistribution(5, 6),
    }


@given(entries=spaces(), seed=st.integers(0, 2**31))
@settings(max_examples=examples(100), deadline=None)
def test_every_value_survives_optuna_and_every_draw_of_optuna_is_a_value(entries: dict[str, Any], seed: int) -> None:
    space = Space(entries)
    carriers = from_optuna.carriers(space)
    assert returns_unchanged(space, carriers, random.Random(seed))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(3):
        drawn = study.ask(optuna_distributions(space)).params
        for dimension in space.dimensions:
            dimension.axis.position(carriers[dimension.key].decode(drawn[dimension.key]))  # raises if it is none


@pytest.mark.parametrize(("distribution", "message"), [
    (lambda: CategoricalDistribution(("a", math.nan)), "net.x: cloudtune has no value nan"),
    (lambda: CategoricalDistribution((1, 1.0)), "net.x: .*twice"),
    (lambda: IntDistribution(0, 2**60), r"net.x: .*2\^53"),
    (lambda: FloatDistribution(0, math.inf), "net.x.high: .*finite"),
], ids=short)  # fmt: skip
def test_what_a_spec_cannot_hold_is_refused_by_name(distribution: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space_from_optuna({"net.x": distribution()})


def test_choices_that_are_no_scalars_are_refused_by_name() -> None:
    with pytest.warns(UserWarning, match="persistent storage"):
        distribution = CategoricalDistribution(((64, 64), (32,)))
    with pytest.raises(ValueError, match=r"layers: cloudtune has no value \(64, 64\)"):
        space_from_optuna({"layers": distribution})


# From HyperOpt


def draws(expression: Any, count: int = 400) -> list[Any]:
    source = np.random.default_rng(3)
    return [sample(expression, source) for _ in range(count)]


@pytest.mark.parametrize(("theirs", "ours"), [
    (lambda: hp.uniform("x", -1, 2), Float(low=-1, high=2)),
    (lambda: hp.loguniform("x", math.log(1e-5), math.log(0.1)), Float(low=1e-5, high=0.1, scale="log")),
    (lambda: hp.quniform("x", 1, 10, 1), Float(low=1, high=10, step=1)),
    (lambda: hp.quniform("x", 1, 10, 4), Float(low=0, high=8, step=4)),
    (lambda: hp.quniform("x", 0.3, 2, 0.5), Float(low=0.5, high=2, step=0.5)),
    (lambda: hp.quniform("x", -0.35, 0.35, 0.1), Float(low=-0.3, high=0.3, step=0.1)),
    (lambda: hp.quniform("x", 2, 3, 7), Float(low=0, high=0, step=7)),
    (lambda: scope.int(hp.quniform("x", 8, 65, 8)), Int(low=8, high=64, step=8)),
    (lambda: hp.qloguniform("x", 0, math.log(20), 2), Float(low=2, high=20, step=2, scale="log")),
    (lambda: scope.int(hp.qloguniform("x", math.log(3), math.log(9), 2)), Int(low=4, high=8, step=2, scale="log")),
    (lambda: hp.normal("x", 1, 2), Normal(mean=1, std=2)),
    (lambda: hp.qnormal("x", 1, 2, 0.5), Normal(mean=1, std=2, step=0.5)),
    (lambda: hp.lognormal("x", 0, 0.5), LogNormal(mean=0, std=0.5)),
    (lambda: hp.qlognormal("x", 3, 0.5, 2), LogNormal(mean=3, std=0.5, step=2)),
    (lambda: hp.uniformint("x", 1, 4), Int(low=1, high=4)),
    (lambda: hp.randint("x", 5), Int(low=0, high=4)),
    (lambda: hp.randint("x", 3, 7), Int(low=3, high=6)),
    (lambda: hp.choice("x", ["a", None, 3]), Categorical(values=("a", None, 3))),
    (lambda: hp.choice("x", np.arange(3)), Categorical(values=(0, 1, 2))),
    (lambda: hp.pchoice("x", [(0.5, "a"), (0.5, "b")]), Categorical(values=("a", "b"))),
], ids=short)  # fmt: skip
def test_an_expression_of_hyperopt_becomes_the_parameter_that_is_nearest(theirs: Any, ours: Parameter) -> None:
    expression = theirs()
    entries = space_from_hyperopt(expression)
    assert entries == {"x": ours}
    space = Space(entries)
    drawn = draws(expression)
    assert all(space.contains({"x": value}) for value in drawn)
    (dimension,) = space.dimensions
    if dimension.axis.size is not None and dimension.axis.size <= 20:
        found = {dimension.axis.position(value) for value in drawn}
        assert len(found) == dimension.axis.size, "each of our values is one that HyperOpt draws"


@pytest.mark.parametrize(
    "expression", [lambda: hp.qloguniform("x", -3, 3, 1), lambda: hp.qlognormal("x", 0, 1, 1)], ids=["u", "n"]
)
def test_where_hyperopt_rounds_to_0_the_first_step_is_the_lowest_value(expression: Any) -> None:
    space = Space(space_from_hyperopt(expression()))
    assert all(space.contains({"x": max(value, 1.0)}) for value in draws(expression()))


def test_parameters_are_named_as_the_objective_finds_them_and_else_by_label() -> None:
    x, y, z = hp.uniform("x", 0, 1), hp.normal("y", 0, 1), hp.randint("z", 3)
    assert list(space_from_hyperopt([x, y, 7])) == ["x", "y", "2"]
    assert list(space_from_hyperopt({"net": {"lr": x, "depth": z}, "seed": 1})) == ["net.depth", "net.lr", "seed"]
    assert space_from_hyperopt({"net": {"layers": (x, y)}, "on": True})["on"] == Constant(value=True)
    assert list(space_from_hyperopt({"net": {"layers": (x, y)}})) == ["net.layers.x", "net.layers.y"]


def classifier() -> Any:
    """The conditional space of HyperOpt's documentation."""
    svm = {
        "type": "svm",
        "C": hp.lognormal("svm_C", 0, 1),
        "kernel": hp.choice("svm_kernel", [
            {"ktype": "linear"},
            {"ktype": "RBF", "width": hp.lognormal("svm_rbf_width", 0, 1)},
        ]),
    }  # fmt: skip
    tree = {
        "type": "dtree",
        "C": hp.uniform("dtree_C", 0, 1),
        "depth": hp.choice("depth", [None, {"max": hp.qlognormal("max_depth", 3, 1, 1)}]),
    }
    return hp.choice("classifier", [{"type": "naive_bayes"}, svm, tree])


def test_choices_of_dicts_become_conditions() -> None:
    assert space_from_hyperopt(classifier()) == {
        "classifier": Categorical(values=("naive_bayes", "svm", "dtree")),
        "C": (
            LogNormal(mean=0, std=1, when={"classifier": "svm"}),
            Float(low=0, high=1, when={"classifier": "dtree"}),
        ),
        "kernel": Categorical(values=("linear", "RBF"), when={"classifier": "svm"}),
        "kernel.width": LogNormal(mean=0, std=1, when={"kernel": "RBF"}),
        "depth": Categorical(values=(None, 1), when={"classifier": "dtree"}),
        "depth.max": LogNormal(mean=3, std=1, step=1, when={"depth": 1}),
    }


def test_every_draw_of_a_conditional_space_is_a_trial_of_ours() -> None:
    space = Space(space_from_hyperopt(classifier()))
    seen = set()
    for drawn in draws(classifier(), 200):
        values = {"classifier": drawn["type"]}
        if "C" in drawn:
            values["C"] = drawn["C"]
        if "kernel" in drawn:
            values["kernel"] = drawn["kernel"]["ktype"]
            values |= {f"kernel.{key}": drawn["kernel"][key] for key in drawn["kernel"] if key != "ktype"}
        if "depth" in drawn:
            values["depth"] = None if drawn["depth"] is None else 1
            values |= {"depth.max": drawn["depth"]["max"] or 1.0} if drawn["depth"] else {}
        assert space.contains(values)
        seen.add(tuple(values))
    assert len(seen) == 5, "every branch was drawn"


def test_one_expression_in_several_branches_is_one_parameter() -> None:
    rate, size = (
        hp.loguniform("rate", -5, 0),
        hp.choice("size", [{"kind": "s"}, {"kind": "l", "n": hp.randint("n", 9)}]),
    )
    branches = [{"type": "a", "rate": rate, "size": size}, {"type": "b", "rate": rate, "size": size}, {"type": "c"}]
    found = space_from_hyperopt({"model": hp.choice("m", branches)})
    assert found["model.rate"].when == {"model": ("a", "b")}  # type: ignore[union-attr]
    assert found["model.size"].when == {"model": ("a", "b")}  # type: ignore[union-attr]
    assert found["model.size.n"].when == {"model.size": ("l",)}  # type: ignore[union-attr]
    always = space_from_hyperopt({"model": hp.choice("m", branches[:2])})
    assert always["model.rate"].when is None  # type: ignore[union-attr]


def test_nested_choices_of_one_name_keep_apart() -> None:
    branches = [
        {
            "type": kind,
            "opt": hp.choice(f"{kind}_opt", [{"kind": "sgd", "lr": hp.uniform(f"{kind}_lr", 0, high)}, "adam"]),
        }
        for kind, high in (("a", 1), ("b", 2))
    ]
    found = space_from_hyperopt({"model": hp.choice("m", branches)})
    rates = found["model.opt.lr"]
    assert isinstance(rates, tuple)
    assert [rate.when for rate in rates] == [{"model": (kind,), "model.opt": ("sgd",)} for kind in ("a", "b")]


def test_branches_that_say_no_name_are_called_by_their_index() -> None:
    found = space_from_hyperopt(
        {"layers": hp.choice("l", [(32,), (64, 16)]), "x": hp.choice("x", [1, {"y": 2}, {"z": 3}])}
    )
    assert found == {
        "layers": Categorical(values=(0, 1)),
        "layers.0": (Constant(value=32, when={"layers": 0}), Constant(value=64, when={"layers": 1})),
        "layers.1": Constant(value=16, when={"layers": 1}),
        "x": Categorical(values=(0, 1, 2)),
        "x.0": Constant(value=1, when={"x": 0}),
        "x.y": Constant(value=2, when={"x": 1}),
        "x.z": Constant(value=3, when={"x": 2}),
    }
    drawn = space_from_hyperopt(hp.choice("lr", ["default", hp.uniform("own", 0, 1)]))
    assert drawn == {"lr": Categorical(values=("default", 1)), "own": Float(low=0, high=1, when={"lr": 1})}


@pytest.mark.parametrize(("space", "message"), [
    (lambda: {"x": hp.uniform("x", 0, 1) * 2}, "^x: it is computed"),
    (lambda: {"x": scope.int(hp.uniform("x", 1, 9))}, "^x: scope.int cuts off"),
    (lambda: {"x": hp.loguniform("x", 1, 800)}, "^x: 800.* is an exponent of e, and too large"),
    (lambda: {"x": hp.qloguniform("x", 1, 800, 1)}, "^x: 800.* is an exponent of e"),
    (lambda: {"x": hp.uniform("x", 0, hp.uniform("y", 1, 2))}, "^x: its high is itself drawn"),
    (lambda: hp.pchoice("x", [(0.9, "a"), (0.1, "b")]), r"^x: the choices are not equally likely \(0.9, 0.1\)"),
    (lambda: hp.choice("x", ["a", "a", "b"]), "^x: an option stands twice"),
    (lambda: hp.choice("x", [np.zeros(2), "b"]), "^x: cloudtune has no value"),
    (lambda: hp.choice("x", [random.Random, "b"]), "^x: cloudtune has no value"),
    (lambda: scope.one_of("a", "b"), "no label"),
    (lambda: {"x": scope.switch(hp.randint("x", 3), "a", "b")}, "^x: randint chooses among 2"),
    (lambda: {"a": hp.uniform("x", 0, 1), "b": hp.uniform("x", 0, 1)}, "^b: the label 'x' stands twice.* for a;"),
    (lambda: {1: hp.uniform("x", 0, 1)}, "keys of a dict"),
    (lambda: hp.lognormal("x", 0, 1000), "^x: .*float"),
    (lambda: hp.choice("C", [{"type": "a", "C": hp.uniform("c", 0, 1)}, {"type": "b"}]), "C"),
], ids=short)  # fmt: skip
def test_what_has_no_like_is_refused_by_name(space: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space_from_hyperopt(space())


# To HyperOpt


@given(entries=spaces(), seed=st.integers(0, 2**31))
@settings(max_examples=examples(100), deadline=None)
def test_every_value_survives_hyperopt_and_every_draw_of_hyperopt_is_a_trial(
    entries: dict[str, Any], seed: int
) -> None:
    space = Space(entries)
    assert returns_unchanged(space, to_hyperopt.carriers(space), random.Random(seed))
    domain = hyperopt.base.Domain(None, hyperopt_space(space))
    for number in range(3):
        (trial,) = hyperopt.rand.suggest([number], domain, hyperopt.Trials(), seed + number)
        labels = hyperopt.base.spec_from_misc(trial["misc"])
        assert space.contains(values_from_hyperopt(space, labels))


def test_conditions_of_one_parent_are_kept_in_the_tree() -> None:
    space = Space({
        "kind": Categorical(values=("a", "b", "c")),
        "part": Float(low=0, high=1, when={"kind": "a"}),
        "rate": Float(low=1e-4, high=1, scale="log", when={"kind": ("b", "c")}),
        "fixed": Constant(value=1, when={"kind": "c"}),
        "below": Int(low=0, high=3, when={"fixed": 1}),
        "deep": Categorical(values=(True, False), when={"kind": "b"}),
        "deeper": Normal(mean=0, std=1, when={"deep": True}),
        "two": Float(low=0, high=1, when={"kind": "a", "deep": True}),
    })  # fmt: skip
    tree = hyperopt_space(space)
    assert set(tree) == {"kind", "two"}
    shapes: dict[str, set[Any]] = {}
    for drawn in draws(tree, 100):
        branch = drawn["kind"]
        deep = branch.get("deep")
        shapes.setdefault(branch["kind"], set()).add(tuple(branch) + (tuple(deep) if deep else ()))
    assert shapes == {
        "a": {("kind", "part")},
        "b": {("deep", "kind", "rate", "deep", "deeper"), ("deep", "kind", "rate", "deep")},
        "c": {("below", "fixed", "kind", "rate")},
    }


def test_a_tree_read_again_has_the_same_parameters_under_the_branches() -> None:
    entries = {"kind": Categorical(values=("a", "b")), "part": Float(low=0, high=1, when={"kind": "a"})}
    again = space_from_hyperopt(hyperopt_space(Space(entries)))
    assert again == {"kind": entries["kind"], "kind.part": entries["part"]}
    flat: dict[str, Parameter] = {"n": Normal(mean=1, std=2), "l": LogNormal(mean=0, std=1), "c": Constant(value="v")}
    assert space_from_hyperopt(hyperopt_space(Space(flat))) == dict(sorted(flat.items()))


def test_the_result_of_fmin_is_a_trial_of_ours() -> None:
    space = Space({
        "x": Float(low=-5, high=5),
        "o": Ordinal(values=("s", "m", "l")),
        "k": Categorical(values=("a", None)),
        "y": Float(low=0, high=1, when={"k": None}),
        "one": Constant(value=1),
    })  # fmt: skip
    objective: Callable[[Any], float] = lambda drawn: (drawn["x"] - 1) ** 2 + ("y" in (drawn["k"] or ()))  # noqa: E731
    best = hyperopt.fmin(
        objective,
        hyperopt_space(space),
        algo=hyperopt.tpe.suggest,
        max_evals=25,
        rstate=np.random.default_rng(1),
        show_progressbar=False,
    )
    values = values_from_hyperopt(space, best)
    assert space.contains(values)
    assert values["x"] == pytest.approx(best["x"])
    with pytest.raises(ValueError, match="'x'"):
        values_from_hyperopt(space, {"k": 0})
