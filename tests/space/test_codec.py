"""Codecs: whatever a service makes of a parameter, the trial gets exactly the value that the spec means."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from amounts import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from cloudtune.space.axes import TAIL, NormalAxis, Rounding, axis_of
from cloudtune.space.codecs import (
    Codec,
    LogAsExponent,
    NormalAsUnit,
    NumberAsText,
    ReverseLogAsExponent,
    SteppedAsInt,
    ValuesAsIndex,
    ValuesAsText,
)
from cloudtune.space.parameters import (
    Categorical,
    Constant,
    Float,
    Int,
    LogNormal,
    Normal,
    Ordinal,
    Parameter,
    Scalar,
)
from cloudtune.space.space import Entries, Space, SpaceError
from cloudtune.space.space_codec import MAX_NAME, Flattened, SpaceCodec, safe_names
from cloudtune.testing.specs import parameter_names, parameters, spaces
from cloudtune.trial import commands, decode

CODECS: tuple[type[Codec], ...] = (
    SteppedAsInt,
    LogAsExponent,
    ReverseLogAsExponent,
    NormalAsUnit,
    ValuesAsIndex,
    ValuesAsText,
    NumberAsText,
)
LEGAL = re.compile(r"^[a-zA-Z_]+[a-zA-Z0-9_]*$")

positions = st.floats(0, 1)


def through_json(value: Scalar) -> Any:
    """What is left of a value after JSON."""
    return json.loads(json.dumps(value))


def through_text(value: Scalar) -> Any:
    """What is left of a value where a service makes texts of all (SageMaker)."""
    return commands.text_of(value)


def through_double(value: Scalar) -> Any:
    """What is left of a value where a service makes doubles of all numbers (Vertex)."""
    return value if isinstance(value, str | bool | None) else float(value)


WAYS: tuple[Callable[[Scalar], Any], ...] = (lambda value: value, through_json, through_text, through_double)


def fitting(parameter: Parameter) -> list[type[Codec]]:
    """The codecs that can carry a parameter."""
    found = []
    for kind in CODECS:
        try:
            kind.of(parameter)
        except ValueError:
            continue
        found.append(kind)
    return found


def exactly(left: Scalar, right: Scalar) -> bool:
    """Equality with the type: 1, 1.0 and true are three values."""
    return left == right and type(left) is type(right)


@st.composite
def hard_reals(draw: DrawFn) -> Parameter:
    """Real ranges that are extreme, narrow, or end in the middle of what rounding resolves."""
    kind = draw(st.sampled_from(["log", "reverse_log", "normal", "lognormal"]))
    if kind == "log":
        low = draw(st.floats(1e-300, 1e300) | st.sampled_from([0.1, 1.0, 1e-5, 0.1234567890125]))
        high = low * draw(st.floats(1, 1 + 1e-10) | st.floats(1, 1e300) | st.just(1.0000000000005))
        assume(math.isfinite(high))
        return Float(low=low, high=high, scale="log")
    if kind == "reverse_log":
        low = draw(st.floats(0, 0.9999999999) | st.sampled_from([0.0, 0.1234567890125, 0.9999999999995]))
        high = low + (1 - low) * draw(st.floats(0, 0.999) | st.floats(0, 1e-12))
        assume(high < 1)
        return Float(low=low, high=high, scale="reverse_log")
    std = draw(st.floats(1e-6, 100) | st.sampled_from([1.0, 9.99, 0.1]))
    mean = draw(st.floats(-90, 90) | st.just(0.0))
    low, width = draw(st.floats(-6, 5)), draw(st.floats(1e-3, 10))
    ends: Sequence[float] = [mean + deviations * std for deviations in (low, low + width)]
    if kind == "lognormal":
        ends = [math.exp(min(max(end, -700), 700)) for end in ends]
        assume(ends[0] < ends[1])
    cuts = {name: draw(st.none() | st.just(end)) for name, end in zip(("low", "high"), ends, strict=True)}
    parameter = (Normal if kind == "normal" else LogNormal)(mean=mean, std=std, **cuts)
    assume(_leaves_something(parameter))
    return parameter


def _leaves_something(parameter: Parameter) -> bool:
    try:
        axis_of(parameter)
    except ValueError:
        return False
    return True


def _comes_back(parameter: Parameter, position: float) -> None:
    value = axis_of(parameter).at(position)
    for kind in fitting(parameter):
        codec = kind.of(parameter)
        for way in WAYS:
            found = codec.decode(way(codec.encode(value)))
            assert exactly(found, value), (codec, way, codec.encode(value), found, value)


@given(parameter=parameters(), position=positions)
@settings(max_examples=examples(400), deadline=None)
def test_a_value_comes_back_from_every_codec_by_every_way(parameter: Parameter, position: float) -> None:
    _comes_back(parameter, position)


@given(parameter=hard_reals(), position=positions | st.sampled_from([0.0, 1.0, 1e-9, 1 - 1e-9]))
@settings(max_examples=examples(400), deadline=None)
def test_a_value_of_a_range_that_rounding_makes_hard_comes_back_too(parameter: Parameter, position: float) -> None:
    _comes_back(parameter, position)


@given(parameter=parameters() | hard_reals(), position=positions)
@settings(max_examples=examples(400), deadline=None)
def test_whatever_the_service_suggests_is_a_canonical_value(parameter: Parameter, position: float) -> None:
    for kind in fitting(parameter):
        codec = kind.of(parameter)
        if kind is NumberAsText:  # what it carries is the service's own range
            continue
        value = codec.decode(axis_of(codec.encode_space(parameter)).at(position))
        axis = axis_of(parameter)
        assert exactly(axis.at(axis.position(value)), value)


@given(parameter=parameters() | hard_reals(), position=positions)
@settings(max_examples=examples(300), deadline=None)
def test_what_is_sent_is_a_value_of_the_parameter_that_the_service_got(parameter: Parameter, position: float) -> None:
    value = axis_of(parameter).at(position)
    for kind in fitting(parameter):
        codec = kind.of(parameter)
        assert 0 <= axis_of(codec.encode_space(parameter)).position(codec.encode(value)) <= 1


@given(parameter=parameters() | hard_reals())
@settings(max_examples=examples(200), deadline=None)
def test_every_parameter_that_is_no_plain_range_has_a_codec_that_describes_itself(parameter: Parameter) -> None:
    kinds = fitting(parameter)
    assert kinds or all(isinstance(value, bool | None) for value in getattr(parameter, "values", [None]))
    for kind in kinds:
        codec = kind.of(parameter)
        assert codec.describe().startswith("travels as ")
        assert json.loads(json.dumps(codec.to_data())) == codec.to_data()


@given(parameter=hard_reals(), value=st.floats(allow_nan=False, allow_infinity=False), near=positions)
@settings(max_examples=examples(300), deadline=None)
def test_the_trial_rounds_as_the_axis_does(parameter: Parameter, value: float, near: float) -> None:
    codec = fitting(parameter)[0].of(parameter)
    data = codec.to_data()
    rounding = Rounding(data["low"], data["high"], data["digits"], data["relative"])
    for number in (value, data["low"] + near * (data["high"] - data["low"])):
        if number > 0 or not data["relative"]:
            assert decode._rounded(data, number) == rounding(number)


@pytest.mark.parametrize(
    ("codec", "parameter", "value", "sent", "instead"),
    [
        (SteppedAsInt, Float(low=0.1, high=0.7, step=0.2), 0.5, 2, Int(low=0, high=3)),
        (SteppedAsInt, Int(low=8, high=64, step=8), 24, 2, Int(low=0, high=7)),
        (LogAsExponent, Float(low=1, high=math.e, scale="log"), 1.0, 0.0, Float(low=0, high=1)),
        (ReverseLogAsExponent, Float(low=0, high=0.5, scale="reverse_log"), 0.5, math.log(2), Float(low=0, high=math.log(2))),
        (NormalAsUnit, Normal(mean=3, std=2), 3.0, 0.5, Float(low=TAIL, high=1 - TAIL)),
        (NormalAsUnit, Normal(mean=0, std=1, low=0, step=0.5), 1.0, 0.8413447460685429, Float(low=0.5, high=1 - TAIL)),
        (NormalAsUnit, LogNormal(mean=0, std=1, high=1), 1.0, 0.5, Float(low=TAIL, high=0.5)),
        (ValuesAsIndex, Ordinal(values=("s", "m", "l")), "m", 1, Int(low=0, high=2)),
        (ValuesAsIndex, Categorical(values=("a", True, None, 1)), None, 2, Int(low=0, high=3)),
        (ValuesAsText, Categorical(values=("1", 1, True, None)), "1", '"1"', Categorical(values=('"1"', "1", "true", "null"))),
        (ValuesAsText, Constant(value=False), False, "false", Constant(value="false")),
        (NumberAsText, Ordinal(values=(1, 2.5)), 1, 1, Ordinal(values=(1, 2.5))),
        (NumberAsText, Int(low=1, high=9), 3, 3, Int(low=1, high=9)),
    ],
)  # fmt: skip
def test_a_codec_sends_what_its_description_says(
    codec: type[Codec], parameter: Parameter, value: Scalar, sent: Scalar, instead: Parameter
) -> None:
    made = codec.of(parameter)
    assert made.encode(value) == (pytest.approx(sent) if isinstance(sent, float) else sent)
    encoded = made.encode_space(parameter)
    assert type(encoded) is type(instead)
    for field, expected in instead:
        assert getattr(encoded, field) == (pytest.approx(expected) if isinstance(expected, float) else expected)


def test_the_conditions_of_a_parameter_stay_with_what_the_service_gets() -> None:
    when = {"kernel": ("poly",)}
    for parameter in (
        Float(low=1, high=2, step=0.5, when=when),
        Float(low=1, high=2, scale="log", when=when),
        Normal(mean=0, std=1, when=when),
        Categorical(values=(1, "a"), when=when),
        Constant(value=1, when=when),
    ):
        for kind in fitting(parameter):
            assert kind.of(parameter).encode_space(parameter).when == when


@pytest.mark.parametrize(
    ("codec", "parameter"),
    [
        (SteppedAsInt, Float(low=0, high=1)),
        (SteppedAsInt, Normal(mean=0, std=1, step=1)),
        (LogAsExponent, Float(low=1, high=2)),
        (LogAsExponent, Float(low=1, high=2, scale="log", step=0.5)),
        (ReverseLogAsExponent, Float(low=0.1, high=0.2, scale="log")),
        (NormalAsUnit, Float(low=0, high=1)),
        (ValuesAsIndex, Constant(value=1)),
        (ValuesAsText, Int(low=0, high=1)),
        (NumberAsText, Categorical(values=(1, "a"))),
        (NumberAsText, Categorical(values=(True, False))),
        (NumberAsText, Categorical(values=(2**53, 2**53 + 1))),
    ],
)
def test_a_codec_refuses_a_parameter_that_it_would_not_bring_back(codec: type[Codec], parameter: Parameter) -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        codec.of(parameter)


@pytest.mark.parametrize(
    ("codec", "parameter", "wrong"),
    [
        (SteppedAsInt, Float(low=0, high=1, step=0.5), 0.3),
        (LogAsExponent, Float(low=1, high=2, scale="log"), 3.0),
        (LogAsExponent, Float(low=1, high=2, scale="log"), "1"),
        (NormalAsUnit, Normal(mean=0, std=1, high=1), 2.0),
        (ValuesAsIndex, Ordinal(values=(1, 2)), True),
        (ValuesAsText, Categorical(values=("a", 1)), "b"),
    ],
)
def test_a_value_that_the_parameter_has_not_is_not_sent(
    codec: type[Codec], parameter: Parameter, wrong: Scalar
) -> None:
    with pytest.raises(ValueError, match=r"none of|outside|not a number"):
        codec.of(parameter).encode(wrong)


@pytest.mark.parametrize(
    ("codec", "parameter", "wrong"),
    [
        (SteppedAsInt, Int(low=0, high=9), 10),
        (SteppedAsInt, Int(low=0, high=9), "two"),
        (ValuesAsIndex, Ordinal(values=(1, 2)), -1),
        (ValuesAsText, Categorical(values=("a", 1)), "a"),
        (NumberAsText, Ordinal(values=(1, 2)), 1.5),
        (NumberAsText, Float(low=0, high=1), "nan"),
        (SteppedAsInt, Int(low=0, high=9), math.inf),
        (LogAsExponent, Float(low=1, high=2, scale="log"), math.nan),
        (NormalAsUnit, Normal(mean=0, std=1), None),
    ],
)
def test_a_value_that_was_never_sent_is_not_taken(codec: type[Codec], parameter: Parameter, wrong: Scalar) -> None:
    with pytest.raises(ValueError, match=r"between|none of|not a finite"):
        codec.of(parameter).decode(wrong)


def test_a_double_that_lost_its_last_digits_is_still_the_number() -> None:
    codec = NumberAsText.of(Ordinal(values=(0.1, 1 / 3, 7)))
    assert [codec.decode(value) for value in (0.1 + 1e-17, 0.33333333333, "7.0")] == [0.1, 1 / 3, 7]
    assert exactly(codec.decode(7.0), 7)


def test_a_logarithm_makes_every_decade_equally_wide() -> None:
    codec = LogAsExponent.of(Float(low=1e-4, high=1, scale="log"))
    assert [codec.encode(10.0**power) for power in (-4, -3, -2, -1, 0)] == pytest.approx(
        [math.log(10) * power for power in (-4, -3, -2, -1, 0)]
    )
    assert codec.decode((codec.bottom + codec.top) / 2) == 0.01


def test_a_step_that_the_way_through_a_probability_would_blur_is_refused() -> None:
    with pytest.raises(ValueError, match="too fine for the width"):
        NormalAxis(Normal(mean=0, std=1, step=1e-9))
    with pytest.raises(ValueError, match="too fine for the width"):
        NormalAxis(LogNormal(mean=0, std=3, step=0.01))


# Spaces


@st.composite
def travels(draw: DrawFn) -> tuple[Entries, Callable[[Parameter], Sequence[type[Codec]]], list[float]]:
    """A space, codecs for each of its parameters, and a point of its unit cube."""
    entries = draw(spaces())
    try:
        space = Space(entries)
    except SpaceError:
        assume(False)
    chosen: dict[str, list[type[Codec]]] = {}
    for dimension in space.dimensions:
        kinds = fitting(dimension.parameter) or [ValuesAsText]
        first = draw(st.sampled_from(kinds))
        again = fitting(first.of(dimension.parameter).encode_space(dimension.parameter))
        chosen[repr(dimension.parameter)] = [first, *draw(st.lists(st.sampled_from(again), max_size=1))]
    return entries, lambda parameter: chosen[repr(parameter)], [draw(positions) for _ in space.dimensions]


def _round_trip(codec: SpaceCodec, point: Sequence[float]) -> None:
    values = codec.space.at(point)
    sent = codec.encode(values)
    data = json.loads(json.dumps(codec.to_data()))
    for way in WAYS:
        received = {"_tuning_objective_metric": "x", **{name: way(value) for name, value in sent.items()}}
        for found in (codec.decode(received), decode.decode_parameters(data, received)):
            assert found == values
            assert all(exactly(found[name], value) for name, value in values.items())


@given(travel=travels())
@settings(max_examples=examples(200), deadline=None)
def test_a_trial_comes_back_from_a_service_without_conditions(travel: Any) -> None:
    entries, choose, point = travel
    _round_trip(Flattened(entries, choose), point)


@given(travel=travels())
@settings(max_examples=examples(200), deadline=None)
def test_a_trial_comes_back_from_a_service_with_conditions(travel: Any) -> None:
    entries, choose, point = travel
    try:
        codec = SpaceCodec(entries, choose)
    except ValueError as error:
        assert "can only be carried flattened" in str(error)  # noqa: PT017  # only some spaces cannot
        return
    _round_trip(codec, point)
    assert Space(codec.encode_space()).contains(codec.encode(codec.space.at(point)))


@given(travel=travels())
@settings(max_examples=examples(100), deadline=None)
def test_a_flattened_space_has_all_its_dimensions_always(travel: Any) -> None:
    entries, choose, point = travel
    codec = Flattened(entries, choose)
    flat = codec.encode_space()
    sent = codec.encode(codec.space.at(point))
    assert len(flat) == len(codec.space.dimensions)
    assert list(flat) == list(sent)
    assert all(LEGAL.match(name) for name in flat)
    assert all(parameter.when is None for parameter in flat.values())
    assert Space(flat).contains(sent)
    hidden = {dimension.key for dimension in codec.space.dimensions if dimension.parameter.when}
    assert hidden <= {key for key, said in codec.describe().items() if "always sampled" in said}


CONDITIONAL: Mapping[str, Parameter | tuple[Parameter, ...]] = {
    "kernel": Categorical(values=("rbf", "poly")),
    "model.degree": Int(low=2, high=4, when={"kernel": ("poly",)}),
    "gamma": (
        Float(low=1, high=2, when={"kernel": ("rbf",)}),
        Float(low=3, high=4, when={"kernel": ("poly",)}),
    ),
}


def _by_index(parameter: Parameter) -> Sequence[type[Codec]]:
    return [ValuesAsIndex] if isinstance(parameter, Categorical) else [NumberAsText]


def test_a_flattened_space_masks_what_a_trial_has_not() -> None:
    codec = Flattened(CONDITIONAL, _by_index)
    assert list(codec.encode_space()) == ["kernel", "model_degree", "gamma_0", "gamma_1"]
    sent = {"kernel": 0.0, "model_degree": 3.0, "gamma_0": 1.5, "gamma_1": 3.5}
    assert codec.decode(sent) == {"kernel": "rbf", "gamma": 1.5}
    assert codec.decode({**sent, "kernel": "1"}) == {"kernel": "poly", "model.degree": 3, "gamma": 3.5}
    assert codec.encode({"kernel": "rbf", "gamma": 1.5}) == {
        "kernel": 0,
        "model_degree": 3,
        "gamma_0": 1.5,
        "gamma_1": 3.5,
    }


def test_conditions_speak_of_what_the_service_gets() -> None:
    codec = SpaceCodec(CONDITIONAL, _by_index, legal_names=True)
    assert {name: parameter.when for name, parameter in codec.encode_space().items()} == {
        "kernel": None,
        "model_degree": {"kernel": (1,)},
        "gamma_0": {"kernel": (0,)},
        "gamma_1": {"kernel": (1,)},
    }
    assert codec.encode({"kernel": "rbf", "gamma": 1.5}) == {"kernel": 0, "gamma_0": 1.5}


def test_what_travels_as_it_stands_needs_no_note() -> None:
    plain = SpaceCodec({"lr": Float(low=0, high=1)}, lambda parameter: [])
    assert plain.describe() == {}
    assert plain.encode_space() == {"lr": Float(low=0, high=1)}
    notes = Flattened(CONDITIONAL, _by_index).describe()
    assert notes["kernel"].startswith("travels as the index")
    assert notes["model.degree"].startswith("is called model_degree; travels as it stands")


def test_a_condition_on_a_parameter_with_variants_needs_flattening() -> None:
    entries: Entries = {
        "a": Categorical(values=(1, 2)),
        "b": (Int(low=0, high=1, when={"a": (1,)}), Int(low=0, high=5, when={"a": (2,)})),
        "c": Float(low=0, high=1, when={"b": (1,)}),
    }
    with pytest.raises(ValueError, match="'b', which has variants, can only be carried flattened"):
        SpaceCodec(entries, lambda parameter: [])
    codec = Flattened(entries, lambda parameter: [])
    assert codec.decode({"a": 2, "b_0": 0, "b_1": 1, "c": 0.5}) == {"a": 2, "b": 1, "c": 0.5}


def test_a_missing_or_impossible_value_is_told_with_the_parameters_name() -> None:
    codec = Flattened(CONDITIONAL, _by_index)
    with pytest.raises(ValueError, match="no value for the parameter 'kernel'"):
        codec.decode({"gamma_0": 1.0})
    with pytest.raises(ValueError, match="impossible value for 'kernel': 7 is not between 0 and 1"):
        codec.decode({"kernel": 7})
    with pytest.raises(ValueError, match="no value for 'gamma'"):
        codec.encode({"kernel": "rbf"})


# Names


@given(names=st.lists(parameter_names(st.text(min_size=1)), unique=True, max_size=6))
def test_safe_names_are_legal_and_unique_and_keep_what_is_legal(names: list[str]) -> None:
    safe = safe_names(names)
    assert list(safe) == names
    assert len(set(safe.values())) == len(names)
    for name, legal in safe.items():
        assert LEGAL.match(legal)
        assert len(legal) <= MAX_NAME + 5
        assert legal == name or not LEGAL.match(name) or len(name) > MAX_NAME


def test_safe_names_are_readable() -> None:
    names = ["lr", "model.lr", "model_lr", "2nd layer", "größe", "café", "a[0]", "***", "--"]
    assert list(safe_names(names).values()) == [
        "lr", "model_lr_2", "model_lr", "_2nd_layer", "gro_e", "cafe", "a_0", "parameter", "parameter_2",
    ]  # fmt: skip
