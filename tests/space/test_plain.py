"""Spaces as Python users write them."""

from typing import Any

import numpy as np
import pytest

from cloudtune import Categorical, Constant, Float, Int, LogNormal
from cloudtune.errors import SpecError
from cloudtune.search import Search
from cloudtune.space.parameters import Ordinal, Parameter
from cloudtune.space.plain import spelled_out


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        (Float(0, 1), Float(low=0, high=1)),
        (Float(1e-4, 1, log=True), Float(low=1e-4, high=1, scale="log")),
        (Int(1, 9, log=True), Int(low=1, high=9, scale="log")),
        (Int(1, 9, step=2, when={"a": "b"}), Int(low=1, high=9, step=2, when={"a": ["b"]})),
        (Categorical("a", "b"), Categorical(values=("a", "b"))),
        (Categorical(["a", "b"]), Categorical(values=("a", "b"))),
        (Ordinal(16, 32, 64, log=True), Ordinal(values=(16, 32, 64), scale="log")),
        (Constant(None), Constant(value=None)),
        (LogNormal(0, 1, high=3), LogNormal(mean=0, std=1, high=3)),
    ],
)
def test_the_main_fields_of_a_parameter_may_be_given_by_place(short: Parameter, whole: Parameter) -> None:
    assert short == whole
    assert short.model_fields_set == whole.model_fields_set  # so that it is written as the whole form is


def test_what_does_not_fit_a_place_is_told() -> None:
    with pytest.raises(TypeError, match="Float takes low and high by place, not 3 values; write the others by name"):
        Float(0, 1, 2)  # type: ignore[call-arg, misc]
    with pytest.raises(TypeError, match="Float got low by its place and by its name"):
        Float(0, 1, low=2)  # type: ignore[call-overload, misc]
    with pytest.raises(TypeError, match="got log=True and scale='linear'; leave one away"):
        Float(0.1, 1, log=True, scale="linear")


@pytest.mark.parametrize(
    ("plain", "spelled"),
    [
        ((1e-4, 1e-1, "log"), {"type": "float", "low": 1e-4, "high": 1e-1, "scale": "log"}),
        ((0, 1.0), {"type": "float", "low": 0, "high": 1.0}),
        ((1, 8), {"type": "int", "low": 1, "high": 8}),
        (range(2, 9), {"type": "int", "low": 2, "high": 8, "step": 1}),
        (range(9, 2, -3), {"type": "int", "low": 3, "high": 9, "step": 3}),
        (["relu", "gelu"], {"type": "categorical", "values": ["relu", "gelu"]}),
        (np.array([1, 2]), {"type": "categorical", "values": [1, 2]}),
        (True, {"type": "constant", "value": True}),
        (None, {"type": "constant", "value": None}),
        ({"type": "int", "low": 1, "high": 2}, {"type": "int", "low": 1, "high": 2}),
    ],
)
def test_plain_forms_mean_what_python_users_expect(plain: Any, spelled: Any) -> None:
    assert spelled_out({"x": plain}, "tune") == {"x": spelled}


def test_parameters_and_their_variants_stay_as_they_are() -> None:
    variants = (Float(0, 1, when={"a": 1}), Int(1, 2, when={"a": 2}))
    assert spelled_out({"x": variants, "y": Float(0, 1)}, "tune") == {"x": variants, "y": Float(0, 1)}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (("a", "b"), "for a choice write the list"),
        ((1, 2, 3), "at most a scale, linear, log, reverse_log"),
        ((True, False), "a tuple is a range"),
        ({1, 2}, "a set has no order"),
        (range(3, 3), "holds no number"),
    ],
)
def test_what_may_mean_two_things_is_refused_with_what_to_write(entry: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        spelled_out({"good": (0.0, 1.0), "bad": entry}, "tune")
    assert [problem.path for problem in caught.value.problems] == ["space.bad"]


def test_a_search_takes_plain_forms() -> None:
    search = Search(
        {"lr": (1e-4, 1e-1, "log"), "act": ["relu", "gelu"]}, {"metric": "loss", "goal": "minimize"}, seed=1
    )
    trial = search.ask()
    assert trial is not None
    assert 1e-4 <= trial.parameters["lr"] <= 1e-1  # type: ignore[operator]
    assert trial.parameters["act"] in ("relu", "gelu")
