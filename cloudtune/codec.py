"""How a parameter that a service cannot express travels through one that it can.

A codec is made for one parameter. It says which parameter the service gets instead, what a value becomes on the way
there, and what it was when it comes back. Its fields are plain data: with them `cloudtune.trial` decodes beside the
user's code, and the client decodes by the very same functions when it reads trials back, so both see one value.

Canonical values (see `cloudtune.axis`) come back exactly, with their type, also where a service makes texts or
doubles of all values.
"""

import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Self

from cloudtune import trial
from cloudtune.axis import Bell, Choices, Lattice, Rounding, axis_of, bell_mass, number_within
from cloudtune.parameters import (
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
from cloudtune.space import Dimension, Entries, Space, Values


@dataclass(frozen=True)
class Codec(ABC):
    """One step of a parameter's way to a service; made by `of`. The fields of a codec are what decoding needs."""

    kind: ClassVar[str]
    """The name under which `cloudtune.trial` knows how to decode."""

    @classmethod
    @abstractmethod
    def of(cls, parameter: Parameter) -> Self:
        """The codec for a parameter.

        Raises:
            ValueError: this codec cannot carry such a parameter.
        """

    @abstractmethod
    def encode_space(self, parameter: Parameter) -> Parameter:
        """The parameter that the service gets instead; its conditions are those of the original."""

    @abstractmethod
    def encode(self, value: Scalar) -> Scalar:
        """What the service gets instead of a value.

        Raises:
            ValueError: the parameter has no such value.
        """

    def decode(self, value: Scalar) -> Scalar:
        """The value from what the service made of it: a number may come back as a double or as a text.

        Raises:
            ValueError: it is nothing that the codec encodes to.
        """
        return trial.decode(self.to_data(), value)

    @abstractmethod
    def describe(self) -> str:
        """How the parameter travels, for the plan's note."""

    def to_data(self) -> dict[str, Any]:
        """What `cloudtune.trial.decode` needs, as plain data."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": self.kind, **{name: list(v) if isinstance(v, tuple) else v for name, v in data.items()}}


def _refuse(codec: type[Codec], parameter: Parameter) -> ValueError:
    return ValueError(f"{codec.__name__} cannot carry {parameter!r}")


@dataclass(frozen=True)
class SteppedAsInt(Codec):
    """A number with a step as the index of its value, from 0, on a linear scale.

    Attributes:
        low: the lowest value.
        step: the distance of neighbouring values.
        size: how many values there are.
        whole: whether they are whole numbers.
        scale: the parameter's own scale, which the index has not.
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
        return Lattice(self.low, self.step, self.size, "linear", whole=self.whole).index(value)

    def describe(self) -> str:
        lost = "" if self.scale == "linear" else f"; the {self.scale} scale is lost on the way"
        return f"travels as the index, 0 to {self.size - 1}, of its {self.size} values{lost}"


@dataclass(frozen=True)
class _AsExponent(Codec):
    """A real number as the point of a line on which it is uniform.

    Attributes:
        low: the lowest value.
        high: the highest value.
        bottom: the point of `low`.
        top: the point of `high`.
        digits: digits of a value that survive; see `cloudtune.axis.Rounding`.
        relative: whether they are counted from the first that is not 0.
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
        """Where a value lies on the line."""

    def encode_space(self, parameter: Parameter) -> Parameter:
        return Float(low=self.bottom, high=self.top, when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        return self.point(number_within(value, self.low, self.high))

    def describe(self) -> str:
        return f"travels as {self.formula}, {self.bottom:.6g} to {self.top:.6g}"


@dataclass(frozen=True)
class LogAsExponent(_AsExponent):
    """A real number on a log scale as its natural logarithm."""

    kind = "log"
    formula = "ln(x)"

    @staticmethod
    def point(value: float) -> float:
        return math.log(value)


@dataclass(frozen=True)
class ReverseLogAsExponent(_AsExponent):
    """A real number on a reverse log scale (of 0 <= x < 1) as -ln(1 - x)."""

    kind = "reverse_log"
    formula = "-ln(1 - x)"

    @staticmethod
    def point(value: float) -> float:
        return -math.log1p(-value)


@dataclass(frozen=True)
class BellAsUnit(Codec):
    """A normal or lognormal number as the probability below it, which is uniform; cuts and steps are kept.

    Attributes:
        mean: of the number, or of its logarithm, before any cut.
        std: the standard deviation of the same.
        log: whether the logarithm is normal.
        bottom: the probability below the lowest value.
        top: the probability below the highest value.
        low: the lowest value.
        high: the highest value.
        digits: digits of a value that survive; see `cloudtune.axis.Rounding`.
        relative: whether they are counted from the first that is not 0.
        step: the distance of neighbouring values; None for every value.
        first: the number of the step that is the lowest value.
        size: how many values there are; None without a step.
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
        bell = Bell(parameter)
        return cls(
            parameter.mean,
            parameter.std,
            isinstance(parameter, LogNormal),
            *bell.masses,
            bell.low,
            bell.high,
            bell.rounding.digits,
            bell.rounding.relative,
            bell.step,
            bell.first,
            bell.size,
        )

    def encode_space(self, parameter: Parameter) -> Parameter:
        return Float(low=self.bottom, high=self.top, when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        number = number_within(value, self.low, self.high, self.step or 0.0)
        return min(max(bell_mass(number, self.mean, self.std, log=self.log), self.bottom), self.top)

    def describe(self) -> str:
        return f"travels as the probability below it, {self.bottom:.6g} to {self.top:.6g}"


@dataclass(frozen=True)
class ValuesAsIndex(Codec):
    """Listed values as their index, from 0. Neighbours in the list become neighbours for the optimizer.

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
        return Choices(self.values, ordered=self.ordered).index(value)

    def describe(self) -> str:
        order = "" if self.ordered else "; the optimizer sees an order that means nothing"
        return f"travels as the index, 0 to {len(self.values) - 1}, of its {len(self.values)} values{order}"


@dataclass(frozen=True)
class ValuesAsText(Codec):
    """Listed values, or a constant one, as their JSON texts, for services that have texts only.

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
        texts = tuple(map(trial.json_text, self.values))
        if isinstance(parameter, Constant):
            return Constant(value=texts[0], when=parameter.when)
        kind = Ordinal if isinstance(parameter, Ordinal) else Categorical
        return kind(values=texts, when=parameter.when)

    def encode(self, value: Scalar) -> Scalar:
        return trial.json_text(self.values[Choices(self.values, ordered=False).index(value)])

    def describe(self) -> str:
        return "travels as JSON text"


@dataclass(frozen=True)
class NumberAsText(Codec):
    """A number that travels as it stands and comes back as a text or as a double: it is given its own type again.

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
        return value if self.values is None else self.values[Choices(self.values, ordered=False).index(value)]

    def describe(self) -> str:
        return "travels as it stands; its type is restored when it comes back"


def _listed(parameter: Categorical | Ordinal | Constant) -> tuple[Scalar, ...]:
    return (parameter.value,) if isinstance(parameter, Constant) else parameter.values


def _survives_as_double(value: Scalar) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, float) or (isinstance(value, int) and abs(value) <= 2**53)
    )


# Spaces


Choose = Callable[[Parameter], Sequence[type[Codec]]]
"""Which codecs a service needs for a parameter, the first applied first; none for one that it can express."""


@dataclass(frozen=True)
class Travel:
    """How one dimension travels.

    Attributes:
        dimension: the dimension of the space.
        sent_as: the service's name for it, unique.
        codecs: applied one after the other on the way there, and the other way round on the way back.
    """

    dimension: Dimension
    sent_as: str
    codecs: tuple[Codec, ...]

    @cached_property
    def parameter(self) -> Parameter:
        """The parameter that the service gets; its conditions are still those of the spec."""
        parameter = self.dimension.parameter
        for codec in self.codecs:
            parameter = codec.encode_space(parameter)
        return parameter

    def encode(self, value: Scalar) -> Scalar:
        """What the service gets instead of a value."""
        for codec in self.codecs:
            value = codec.encode(value)
        return value

    def describe(self) -> list[str]:
        """How it travels, a sentence a step; empty if it travels as it stands."""
        renamed = self.sent_as != self.dimension.name
        return [*([f"is called {self.sent_as}"] if renamed else []), *(codec.describe() for codec in self.codecs)]


class SpaceCodec:
    """A whole space on its way to a service that knows conditions: each dimension with codecs of its own.

    Args:
        space: the space, or the parameters and variants that make one.
        choose: gives the codecs of a parameter.
        legal_names: whether the service's names must be identifiers; see `safe_names`.

    Raises:
        ValueError: a codec cannot carry a parameter; or conditions cannot be carried, and `Flattened` is needed.
    """

    def __init__(self, space: Space | Entries, choose: Choose, *, legal_names: bool = False) -> None:
        self.space = space if isinstance(space, Space) else Space(space)
        names = _unique_names([dimension.key for dimension in self.space.dimensions], legal=legal_names)
        self.travels = tuple(
            Travel(dimension, name, _chain(dimension.parameter, choose))
            for dimension, name in zip(self.space.dimensions, names, strict=True)
        )
        self._check()

    def _check(self) -> None:
        for travel in self.travels:
            for parent in travel.dimension.parameter.when or {}:
                if len(self._named(parent)) > 1:
                    raise ValueError(f"a condition on {parent!r}, which has variants, can only be carried flattened")

    def _named(self, name: str) -> list[Travel]:
        return [travel for travel in self.travels if travel.dimension.name == name]

    def encode_space(self) -> dict[str, Parameter]:
        """The parameters that the service gets, by its names, parents first."""
        return {
            travel.sent_as: travel.parameter.model_copy(update={"when": self._conditions(travel)})
            for travel in self.travels
        }

    def _conditions(self, travel: Travel) -> dict[str, tuple[Scalar, ...]] | None:
        when = travel.dimension.parameter.when
        if when is None:
            return None
        parents = {parent: self._named(parent)[0] for parent in when}
        return {parents[name].sent_as: tuple(map(parents[name].encode, values)) for name, values in when.items()}

    def encode(self, values: Mapping[str, Scalar]) -> Values:
        """What the service gets for a trial, by its names.

        Raises:
            ValueError: a value is missing, or its parameter has no such value.
        """
        result: Values = {}
        for travel in self.travels:
            if not travel.dimension.active(values):
                result.update(self._absent(travel))
            elif travel.dimension.name not in values:
                raise ValueError(f"no value for {travel.dimension.name!r}")
            else:
                result[travel.sent_as] = travel.encode(values[travel.dimension.name])
        return result

    def _absent(self, travel: Travel) -> Values:  # noqa: ARG002  # see Flattened
        """What the service gets for a dimension that does not exist in a trial."""
        return {}

    def decode(self, values: Mapping[str, Any]) -> Values:
        """A trial's parameters from what the service made of them; names that are not of the space are left alone.

        Raises:
            ValueError: a value is missing, or is none that the service was told.
        """
        return trial.decode_parameters(self.to_data(), values)

    def describe(self) -> dict[str, str]:
        """How each dimension that does not travel as it stands does, by its key; for the plan's notes."""
        steps = {travel.dimension.key: self._steps(travel) for travel in self.travels}
        return {key: "; ".join(said) for key, said in steps.items() if said}

    def _steps(self, travel: Travel) -> list[str]:
        return travel.describe()

    def to_data(self) -> dict[str, Any]:
        """What `cloudtune.trial.decode_parameters` needs, as plain data."""
        return self._data

    @cached_property
    def _data(self) -> dict[str, Any]:
        return {"dimensions": [_travel_data(travel) for travel in self.travels]}


class Flattened(SpaceCodec):
    """A whole space on its way to a service without conditions.

    Every dimension, and each variant of one, is always there under a name of its own that is an identifier. What
    does not exist in a trial is sent as the middle of its range, and masked when it comes back.
    """

    def __init__(self, space: Space | Entries, choose: Choose) -> None:
        super().__init__(space, choose, legal_names=True)

    def _check(self) -> None:
        """Every space can be flattened."""

    def _conditions(self, travel: Travel) -> None:  # noqa: ARG002  # there are none here
        return None

    def _absent(self, travel: Travel) -> Values:
        return {travel.sent_as: travel.encode(travel.dimension.axis.at(0.5))}

    def _steps(self, travel: Travel) -> list[str]:
        masked = ["is always sampled; the trial does not see it where its condition does not hold"]
        return [*travel.describe(), *(masked if travel.dimension.parameter.when else [])]


def _chain(parameter: Parameter, choose: Choose) -> tuple[Codec, ...]:
    codecs = []
    for kind in choose(parameter):
        codecs.append(kind.of(parameter))
        parameter = codecs[-1].encode_space(parameter)
    return tuple(codecs)


def _travel_data(travel: Travel) -> dict[str, Any]:
    dimension = travel.dimension
    when = {parent: list(values) for parent, values in (dimension.parameter.when or {}).items()}
    codecs = [codec.to_data() for codec in travel.codecs]
    return {"name": dimension.name, "sent_as": travel.sent_as, "codecs": codecs, **({"when": when} if when else {})}


# Names

MAX_NAME = 200
"""Characters of a service's name for a parameter; SageMaker takes 256 (ParameterKey)."""


def safe_names(names: Sequence[str]) -> dict[str, str]:
    """Names that match ``^[a-zA-Z_]+[a-zA-Z0-9_]*$``, which Azure Machine Learning asks of a sweep's inputs.

    A name that is legal already stays as it is; the others become as near to theirs as they can, each unique.

    Args:
        names: the names of the spec, each once.
    """
    return dict(zip(names, _unique_names(names, legal=True), strict=True))


def _unique_names(names: Sequence[str], *, legal: bool) -> list[str]:
    wanted = [_legal(name) if legal else name for name in names]
    taken: set[str] = set()
    result = dict.fromkeys(range(len(names)), "")
    for index in sorted(result, key=lambda index: names[index] != wanted[index]):  # first those that may stay
        name, count = wanted[index], 1
        while name in taken:
            count += 1
            name = f"{wanted[index]}_{count}"
        taken.add(name)
        result[index] = name
    return list(result.values())


def _legal(name: str) -> str:
    if re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) and len(name) <= MAX_NAME:
        return name
    letters = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    plain = re.sub(r"[^a-zA-Z0-9_]+", "_", letters).strip("_")[:MAX_NAME]
    return f"_{plain}" if plain[:1].isdigit() else plain or "parameter"
