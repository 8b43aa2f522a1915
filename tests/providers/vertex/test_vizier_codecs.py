"""Spaces and trials there and back: what a study gets of any space decodes to the trial that it was made of."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.space.space import Space
from cloudtune.testing.spaces import spaces
from cloudtune_vertex.vizier.codecs import StudySpace, flat


class Told:
    """A parameter of a trial as the service tells it."""

    def __init__(self, name: str, value: object) -> None:
        self.parameter_id, self.value = name, value


@settings(max_examples=30, deadline=None)
@given(entries=spaces(), draws=st.randoms(use_true_random=False))
def test_any_trial_of_any_space_comes_back_from_a_study(entries, draws) -> None:  # type: ignore[no-untyped-def]
    space = Space(entries)
    study = StudySpace(space)
    for _ in range(3):
        values = space.at(draws.random() for _ in space.dimensions)
        sent = study.parameters(values)
        assert {each["parameter_id"] for each in sent} <= set(names(study.specs))
        assert {each["parameterId"] for each in study.specs} <= {each["parameter_id"] for each in sent}
        assert all(isinstance(each["value"], float | str) for each in sent)
        assert study.values(Told(each["parameter_id"], each["value"]) for each in sent) == values


@settings(max_examples=30, deadline=None)
@given(entries=spaces(), draws=st.randoms(use_true_random=False))
def test_any_trial_of_any_space_comes_back_flat(entries, draws) -> None:  # type: ignore[no-untyped-def]
    space = Space(entries)
    codec = flat(space)
    values = space.at(draws.random() for _ in space.dimensions)
    sent = codec.encode(values)
    assert set(sent) == {each.sent_as for each in codec.encoded_dimensions}
    assert codec.decode(sent) == values


def names(specs):  # type: ignore[no-untyped-def]
    for spec in specs:
        yield spec["parameterId"]
        yield from names(child["parameterSpec"] for child in spec.get("conditionalParameterSpecs", []))


def test_what_a_trial_has_not_but_the_service_samples_is_the_middle() -> None:
    from cloudtune.space.parameters import Categorical, Float

    letters = Categorical(values=("u", "v"))
    nested = Float(low=0, high=1, when={"a": ("u",)})
    masked = Float(low=0, high=4, when={"a": ("u",), "b": ("u",)})
    study = StudySpace(Space({"a": letters, "b": letters, "x": nested, "y": masked}))
    sent = {each["parameter_id"]: each["value"] for each in study.parameters({"a": "v", "b": "u"})}
    assert sent == {"a": "v", "b": "u", "y": 2.0}
    with pytest.raises(ValueError, match="no value for the parameter 'b'"):
        study.values([Told("a", "v")])
