"""Spaces: conditions, variants, and trials as points."""

from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.space.parameters import Categorical, Constant, Float, Int, Normal, Parameter, same_scalar
from cloudtune.space.space import Space, SpaceError
from cloudtune.testing.specs import Entry, spaces

A_OR_B = Categorical(values=("a", "b"))


def unit(**when: Any) -> Float:
    """A float from 0 to 1 under conditions."""
    return Float(low=0, high=1, when=when or None)


def problems_of(**entries: Entry) -> list[tuple[str, str]]:
    """What is wrong with a space."""
    with pytest.raises(SpaceError) as caught:
        Space(entries)
    return caught.value.problems


@given(entries=spaces(), data=st.data())
@settings(max_examples=examples(150), deadline=None)
def test_a_point_gives_a_trial_that_the_space_contains(entries: dict[str, Entry], data: st.DataObject) -> None:
    space = Space(entries)
    size = len(space.dimensions)
    values = space.at(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    assert space.contains(values)
    positions = space.positions(values)
    again = space.at([0.5 if position is None else position for position in positions])
    assert list(again) == list(values)
    assert all(same_scalar(again[name], values[name]) for name in values)
    assert space.key(again) == space.key(values)


@given(entries=spaces(), data=st.data())
@settings(max_examples=examples(150), deadline=None)
def test_a_parameter_exists_exactly_while_its_conditions_hold(entries: dict[str, Entry], data: st.DataObject) -> None:
    space = Space(entries)
    size = len(space.dimensions)
    values = space.at(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))

    def holds(parameter: Parameter) -> bool:
        return all(
            parent in values and any(same_scalar(values[parent], one) for one in allowed)
            for parent, allowed in (parameter.when or {}).items()
        )

    for name, entry in entries.items():
        existing = [one for one in (entry if isinstance(entry, tuple) else (entry,)) if holds(one)]
        assert len(existing) == (name in values)


@given(entries=spaces())
@settings(max_examples=examples(100), deadline=None)
def test_parents_are_decided_before_their_children(entries: dict[str, Entry]) -> None:
    decided: set[str] = set()
    for dimension in Space(entries).dimensions:
        assert set(dimension.parameter.when or {}) <= decided
        decided.add(dimension.name)


def test_conditions_nest() -> None:
    space = Space({"c": unit(b="a"), "b": A_OR_B.model_copy(update={"when": {"a": ("a",)}}), "a": A_OR_B})
    assert [dimension.key for dimension in space.dimensions] == ["a", "b", "c"]
    assert space.at([0, 0, 0.25]) == {"a": "a", "b": "a", "c": 0.25}
    assert space.at([0, 0.9, 0.25]) == {"a": "a", "b": "b"}
    assert space.at([0.9, 0, 0.25]) == {"a": "b"}
    assert space.conditional


def test_variants_of_a_name_take_turns() -> None:
    space = Space({"k": A_OR_B, "x": (unit(k="a"), Constant(value="none", when={"k": ("b",)}))})
    assert [dimension.key for dimension in space.dimensions] == ["k", "x[0]", "x[1]"]
    assert space.at([0, 0.5, 0]) == {"k": "a", "x": 0.5}
    assert space.at([0.9, 0.5, 0]) == {"k": "b", "x": "none"}
    assert space.positions({"k": "b", "x": "none"}) == [0.75, None, 0.5]
    assert not space.contains({"k": "b", "x": 0.5})


def test_a_trial_with_too_much_or_too_little_is_not_of_the_space() -> None:
    space = Space({"k": A_OR_B, "x": unit(k="a")})
    assert space.contains({"k": "a", "x": 0.5})
    assert space.contains({"k": "b"})
    assert not space.contains({"k": "a"})
    assert not space.contains({"k": "b", "x": 0.5})
    assert not space.contains({"k": "c"})
    with pytest.raises(ValueError, match="no value for 'x'"):
        space.positions({"k": "a"})


def test_the_size_bounds_the_number_of_trials() -> None:
    assert Space({"k": A_OR_B, "n": Int(low=1, high=3)}).size == 6
    assert Space({"k": A_OR_B, "n": Int(low=1, high=3, when={"k": ("a",)})}).size == 8
    assert Space({"x": unit()}).size is None


def test_true_and_one_are_different_values_of_a_parent() -> None:
    space = Space({"k": Categorical(values=(True, 1)), "x": unit(k=True)})
    assert space.at([0, 0.5]) == {"k": True, "x": 0.5}
    assert space.at([0.9, 0.5]) == {"k": 1}
    assert space.key({"k": True}) != space.key({"k": 1})


@pytest.mark.parametrize(
    ("entries", "path", "message"),
    [
        ({"x": unit(k="a")}, "x.when.k", "the space has no parameter 'k'"),
        ({"k": A_OR_B, "x": unit(k="c")}, "x.when.k", "'k' never takes the value 'c'"),
        ({"k": Int(low=1, high=9, step=2), "x": unit(k=2)}, "x.when.k", "'k' never takes the value 2"),
        ({"k": unit(), "x": unit(k=0.5)}, "x.when.k", "'k' never takes the value 0.5"),
        ({"k": Categorical(values=(1,)), "x": unit(k=True)}, "x.when.k", "'k' never takes the value True"),
        ({"a": Constant(value=1, when={"a": (1,)})}, "", "the conditions form a circle"),
        ({"k": A_OR_B, "x": (unit(k="a"), unit())}, "x.1.when", "variants 0 and 1 of 'x' could exist"),
        ({"k": A_OR_B, "x": (unit(k="a"), unit(k=("a", "b")))}, "x.1.when", "variants 0 and 1 of 'x'"),
        ({"x": Normal(mean=0, std=1, low=9)}, "x", "the cuts leave nothing of the distribution"),
    ],
)  # fmt: skip
def test_a_space_that_makes_no_sense_is_refused(entries: dict[str, Entry], path: str, message: str) -> None:
    ((found, told),) = problems_of(**entries)
    assert found == path
    assert told.startswith(message)


def test_all_problems_of_a_space_are_told() -> None:
    assert [path for path, _ in problems_of(x=unit(a=1), y=unit(b=1))] == ["x.when.a", "y.when.b"]


def test_every_dimension_has_a_key_of_its_own() -> None:
    """Also where somebody calls a parameter as a variant of another is called."""
    parent = Categorical(values=("p", "q"))
    variants = (Float(low=0, high=1, when={"k": ("p",)}), Float(low=2, high=3, when={"k": ("q",)}))
    for names in (("k", "a", "a[0]"), ("a[0]", "k", "a")):
        entries = {"k": parent, "a": variants, "a[0]": Float(low=5, high=6)}
        space = Space({name: entries[name] for name in names})
        assert len({dimension.key for dimension in space.dimensions}) == 4
        assert next(dimension.key for dimension in space.dimensions if dimension.name == "a[0]") == "a[0]"
