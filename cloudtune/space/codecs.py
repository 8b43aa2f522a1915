"""Encode a parameter that a service cannot express as one that it can.

A codec is made for one parameter. It encodes the parameter and its values for the service, and decodes the values that
come back. Its fields are plain data, with which `cloudtune.trial` decodes beside the user's code; the client decodes
trials by the same functions, so both get the same value.

Canonical values (see `cloudtune.space.axes`) come back exactly, with their type, even where a service turns all values
into texts or doubles.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from cloudtune.space.axes import ListedAxis, NormalAxis, Rounding, SteppedAxis, axis_of, normal_mass, number_within
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
from cloudtune.trial.decode import decode, json_text


@dataclass(frozen=True)
class Codec(ABC):
    """One step of encoding a parameter for a service; made by `of`. Its fields are all that decoding needs."""

    kind: ClassVar[str]
    """The name by which `cloudtune.trial` selects the decoding function."""

    @classmethod
    @abstractmethod
    def of(cls, parameter: Parameter) -> Self:
        """Return the codec for a parameter.

        Raises:
            ValueError: this codec cannot carry such a parameter.
        """

    @abstractmethod
    def encode_space(self, parameter: Parameter) -> Parameter:
        """Return the parameter that the service gets instead; its conditions are those of the original."""

    @abstractmethod
    def encode(self, value: Scalar) -> Scalar:
        """Return the value that the service gets instead of a value of the parameter.

        Raises:
            ValueError: the parameter has no such value.
        """

    def decode(self, value: Scalar) -> Scalar:
        """Return the parameter's value for a value from the service, which may be a double or a text.

        Raises:
            ValueError: the codec encodes no value to it.
        """
        return decode(self.to_data(), value)

    @abstractmethod
    def describe(self) -> str:
        """Return how the parameter travels, for the plan's note."""

    def to_data(self) -> dict[str, Any]:
        """Return what `cloudtune.trial.decode` needs, as plain data."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": self.kind, **{name: list(v) if isinstance(v, tuple) else v for name, v in data.items()}}


def _refuse(codec: type[Codec], parameter: Parameter) -> ValueError:
    return ValueError(f"{codec.__name__} cannot carry {parameter!r}")


@dataclass(frozen=True)
class SteppedAsInt(Codec):
    """Encode a number with a step as the index of its value, from 0, on a linear scale.

    Attributes:
        low: the lowest value.
        step: the distance of neighbouring values.
        size: number of values.
        whole: whether they are whole numbers.
        scale: the parameter's own scale, which the index does not have.
    """

    kind = "step"
    low: float
    step: float
    size: int
    whole: bool
    scale: str

    @classmethod
    def of(cls, parameter: Parameter) -> Self:
        if not isinstance(parameter, Int | Float) or parameter.step is None:
            raise _refuse(cls, parameter)
        size = axis_of(parameter).size
        assert size is not None
        return cls(parameter.low, parameter.step, size, isinstance(parameter, Int), parameter.scale)

    def encode_space(self, parameter: Parameter) -> Parameter:
        return Int(low=0, high=self.size - 1, when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        return SteppedAxis(self.low, self.step, self.size, "linear", whole=self.whole).index(value)

    def describe(self) -> str:
        lost = "" if self.scale == "linear" else f"; the {self.scale} scale is lost on the way"
        return f"travels as the index, 0 to {self.size - 1}, of its {self.size} values{lost}"


@dataclass(frozen=True)
class _AsExponent(Codec):
    """Encode a real number as its point on the line on which it is uniform.

    Attributes:
        low: the lowest value.
        high: the highest value.
        bottom: the point of `low`.
        top: the point of `high`.
        digits: digits of a value that survive; see `cloudtune.space.axes.Rounding`.
        relative: whether digits are counted from the first that is not 0.
    """

    formula: ClassVar[str]
    low: float
    high: float
    bottom: float
    top: float
    digits: int
    relative: bool

    @classmethod
    def of(cls, parameter: Parameter) -> Self:
        if not isinstance(parameter, Float) or parameter.step is not None or parameter.scale != cls.kind:
            raise _refuse(cls, parameter)
        low, high = parameter.low, parameter.high
        rounding = Rounding.of_range(low, high, cls.kind)
        return cls(low, high, cls.point(low), cls.point(high), rounding.digits, rounding.relative)

    @staticmethod
    @abstractmethod
    def point(value: float) -> float:
        """Return the point of a value on the line."""

    def encode_space(self, parameter: Parameter) -> Parameter:
        return Float(low=self.bottom, high=self.top, when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        return self.point(number_within(value, self.low, self.high))

    def describe(self) -> str:
        return f"travels as {self.formula}, {self.bottom:.6g} to {self.top:.6g}"


@dataclass(frozen=True)
class LogAsExponent(_AsExponent):
    """Encode a real number on a log scale as its natural logarithm."""

    kind = "log"
    formula = "ln(x)"

    @staticmethod
    def point(value: float) -> float:
        return math.log(value)


@dataclass(frozen=True)
class ReverseLogAsExponent(_AsExponent):
    """Encode a real number on a reverse log scale (0 <= x < 1) as -ln(1 - x)."""

    kind = "reverse_log"
    formula = "-ln(1 - x)"

    @staticmethod
    def point(value: float) -> float:
        return -math.log1p(-value)


@dataclass(frozen=True)
class NormalAsUnit(Codec):
    """Encode a normal or lognormal number as the probability below it, which is uniform; cuts and steps are kept.

    Attributes:
        mean: of the number, or of its logarithm, before any cut.
        std: the standard deviation of the same.
        log: whether the logarithm is normal.
        bottom: the probability below the lowest value.
        top: the probability below the highest value.
        low: the lowest value.
        high: the highest value.
        digits: digits of a value that survive; see `cloudtune.space.axes.Rounding`.
        relative: whether digits are counted from the first that is not 0.
        step: the distance of neighbouring values; None for a continuous range.
        first: the multiple of the step that is the lowest value.
        size: number of values; None without a step.
    """

    kind = "bell"
    mean: float
    std: float
    log: bool
    bottom: float
    top: float
    low: float
    high: float
    digits: int
    relative: bool
    step: float | None
    first: int
    size: int | None

    @classmethod
    def of(cls, parameter: Parameter) -> Self:
        if not isinstance(parameter, Normal | LogNormal):
            raise _refuse(cls, parameter)
        axis = NormalAxis(parameter)
        return cls(
            parameter.mean,
            parameter.std,
            isinstance(parameter, LogNormal),
            *axis.masses,
            axis.low,
            axis.high,
            axis.rounding.digits,
            axis.rounding.relative,
            axis.step,
            axis.first,
            axis.size,
        )

    def encode_space(self, parameter: Parameter) -> Parameter:
        return Float(low=self.bottom, high=self.top, when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        number = number_within(value, self.low, self.high, self.step or 0.0)
        return min(max(normal_mass(number, self.mean, self.std, log=self.log), self.bottom), self.top)

    def describe(self) -> str:
        return f"travels as the probability below it, {self.bottom:.6g} to {self.top:.6g}"


@dataclass(frozen=True)
class ValuesAsIndex(Codec):
    """Encode listed values as their index, from 0; the optimizer then treats neighbours in the list as near.

    Attributes:
        values: the values in their order.
        ordered: whether the order means something.
    """

    kind = "index"
    values: tuple[Scalar, ...]
    ordered: bool

    @classmethod
    def of(cls, parameter: Parameter) -> Self:
        if not isinstance(parameter, Categorical | Ordinal):
            raise _refuse(cls, parameter)
        return cls(parameter.values, isinstance(parameter, Ordinal))

    def encode_space(self, parameter: Parameter) -> Parameter:
        return Int(low=0, high=len(self.values) - 1, when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        return ListedAxis(self.values, ordered=self.ordered).index(value)

    def describe(self) -> str:
        order = "" if self.ordered else "; the optimizer sees an order that means nothing"
        return f"travels as the index, 0 to {len(self.values) - 1}, of its {len(self.values)} values{order}"


@dataclass(frozen=True)
class ValuesAsText(Codec):
    """Encode listed values, or a constant one, as their JSON texts, for services that have texts only.

    Attributes:
        values: the values in their order.
    """

    kind = "text"
    values: tuple[Scalar, ...]

    @classmethod
    def of(cls, parameter: Parameter) -> Self:
        if not isinstance(parameter, Categorical | Ordinal | Constant):
            raise _refuse(cls, parameter)
        return cls(_listed(parameter))

    def encode_space(self, parameter: Parameter) -> Parameter:
        texts = tuple(map(json_text, self.values))
        if isinstance(parameter, Constant):
            return Constant(value=texts[0], when=parameter.when)
        kind = Ordinal if isinstance(parameter, Ordinal) else Categorical
        return kind(values=texts, when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        return json_text(self.values[ListedAxis(self.values, ordered=False).index(value)])

    def describe(self) -> str:
        return "travels as JSON text"


@dataclass(frozen=True)
class NumberAsText(Codec):
    """Send a number as it stands, and restore its type where it comes back as a text or a double.

    Attributes:
        whole: whether all its values are whole numbers.
        values: the listed values; None for a range.
    """

    kind = "number"
    whole: bool
    values: tuple[Scalar, ...] | None

    @classmethod
    def of(cls, parameter: Parameter) -> Self:
        if not isinstance(parameter, Categorical | Ordinal | Constant):
            return cls(isinstance(parameter, Int), None)
        values = _listed(parameter)
        if not all(_survives_as_double(value) for value in values):
            raise _refuse(cls, parameter)
        return cls(all(isinstance(value, int) for value in values), values)

    def encode_space(self, parameter: Parameter) -> Parameter:
        return parameter

    def encode(self, value: Scalar) -> Scalar:
        return value if self.values is None else self.values[ListedAxis(self.values, ordered=False).index(value)]

    def describe(self) -> str:
        return "travels as it stands; its type is restored when it comes back"


def codecs_of_texts(values: Sequence[Scalar]) -> list[type[Codec]]:
    """Return the codecs of listed values for a service whose values are texts; none if all of them are texts."""
    if all(isinstance(value, str) for value in values):
        return []
    return [NumberAsText] if all(map(_survives_as_double, values)) else [ValuesAsText]


def text_of(value: Scalar) -> str:
    """Return a value as a service gets it whose values are texts."""
    return value if isinstance(value, str) else json_text(value)


def number_in(text: str) -> int | float | None:
    """Return the number that a text is, if `text_of` gives the same text for it and a double holds it; else None."""
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 2**53:
        return None
    return value if json.dumps(value) == text else None


def _listed(parameter: Categorical | Ordinal | Constant) -> tuple[Scalar, ...]:
    return (parameter.value,) if isinstance(parameter, Constant) else parameter.values


def _survives_as_double(value: Scalar) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, float) or (isinstance(value, int) and abs(value) <= 2**53)
    )
