"""Encode a whole space for a service: codecs for each dimension, conditions kept or flattened, and legal names."""

import re
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cloudtune.space.codecs import (
    Codec,
    LogAsExponent,
    NormalAsUnit,
    ReverseLogAsExponent,
    SteppedAsInt,
    codecs_of_texts,
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
from cloudtune.space.space import Dimension, Entries, Space, Values
from cloudtune.trial.decode import decode_parameters

Choose = Callable[[Parameter], Sequence[type[Codec]]]
"""The codecs that a service needs for a parameter, in the order of encoding; none for one that it can express."""


@dataclass(frozen=True)
class EncodedDimension:
    """One dimension of a space as a service gets it.

    Attributes:
        dimension: the dimension of the space.
        sent_as: the service's name for it, unique.
        codecs: applied in this order to encode, in reverse to decode.
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
        """Return the value that the service gets."""
        for codec in self.codecs:
            value = codec.encode(value)
        return value

    def describe(self) -> list[str]:
        """Return how the dimension travels, a sentence a step; empty if it is sent as it stands."""
        renamed = self.sent_as != self.dimension.name
        return [*([f"is called {self.sent_as}"] if renamed else []), *(codec.describe() for codec in self.codecs)]


class SpaceCodec:
    """Encode a whole space for a service that supports conditions, each dimension with its own codecs.

    Args:
        space: the space, or the parameters and variants that make one.
        choose: returns the codecs of a parameter.
        legal_names: whether the service's names must be identifiers; see `safe_names`.

    Raises:
        ValueError: a codec cannot carry a parameter; or conditions cannot be carried, and `Flattened` is needed.
    """

    def __init__(self, space: Space | Entries, choose: Choose, *, legal_names: bool = False) -> None:
        self.space = space if isinstance(space, Space) else Space(space)
        names = _unique_names([dimension.key for dimension in self.space.dimensions], legal=legal_names)
        self.encoded_dimensions = tuple(
            EncodedDimension(dimension, name, _chain(dimension.parameter, choose))
            for dimension, name in zip(self.space.dimensions, names, strict=True)
        )
        self._check()

    def _check(self) -> None:
        for encoded in self.encoded_dimensions:
            for parent in encoded.dimension.parameter.when or {}:
                if len(self._named(parent)) > 1:
                    raise ValueError(f"a condition on {parent!r}, which has variants, can only be carried flattened")

    def _named(self, name: str) -> list[EncodedDimension]:
        return [encoded for encoded in self.encoded_dimensions if encoded.dimension.name == name]

    def encode_space(self) -> dict[str, Parameter]:
        """Return the parameters that the service gets, by its names, parents first."""
        return {
            encoded.sent_as: encoded.parameter.model_copy(update={"when": self._conditions(encoded)})
            for encoded in self.encoded_dimensions
        }

    def _conditions(self, encoded: EncodedDimension) -> dict[str, tuple[Scalar, ...]] | None:
        when = encoded.dimension.parameter.when
        if when is None:
            return None
        parents = {parent: self._named(parent)[0] for parent in when}
        return {parents[name].sent_as: tuple(map(parents[name].encode, values)) for name, values in when.items()}

    def encode(self, values: Mapping[str, Scalar]) -> Values:
        """Return the values that the service gets for a trial, by its names.

        Raises:
            ValueError: a value is missing, or its parameter has no such value.
        """
        result: Values = {}
        for encoded in self.encoded_dimensions:
            if not encoded.dimension.active(values):
                result.update(self._absent(encoded))
            elif encoded.dimension.name not in values:
                raise ValueError(f"no value for {encoded.dimension.name!r}")
            else:
                result[encoded.sent_as] = encoded.encode(values[encoded.dimension.name])
        return result

    def masked(self, encoded: EncodedDimension) -> bool:  # noqa: ARG002  # see Flattened
        """Return whether a dimension is sampled where it does not exist, and hidden from the trial there."""
        return False

    def _absent(self, encoded: EncodedDimension) -> Values:  # noqa: ARG002  # see Flattened
        """Return the values that the service gets for a dimension that does not exist in a trial."""
        return {}

    def decode(self, values: Mapping[str, Any]) -> Values:
        """Return a trial's parameters from the service's values; names that are not of the space are ignored.

        Raises:
            ValueError: a value is missing, or encodes no value of the space.
        """
        return decode_parameters(self.to_data(), values)

    def describe(self) -> dict[str, str]:
        """Return, by key, how each dimension travels that is not sent as it stands; for the plan's notes."""
        steps = {encoded.dimension.key: self._steps(encoded) for encoded in self.encoded_dimensions}
        return {key: "; ".join(said) for key, said in steps.items() if said}

    def _steps(self, encoded: EncodedDimension) -> list[str]:
        return encoded.describe()

    def to_data(self) -> dict[str, Any]:
        """Return what `cloudtune.trial.decode_parameters` needs, as plain data."""
        return self._data

    @cached_property
    def _data(self) -> dict[str, Any]:
        return {"dimensions": [_dimension_data(encoded) for encoded in self.encoded_dimensions]}


class Flattened(SpaceCodec):
    """Encode a whole space for a service without conditions.

    Every dimension, and each variant of one, is always sent, under its own name, which is an identifier. A dimension
    that does not exist in a trial is sent as the middle of its range, and removed when the values come back.
    """

    def __init__(self, space: Space | Entries, choose: Choose) -> None:
        super().__init__(space, choose, legal_names=True)

    def _check(self) -> None:
        """Accept every space: all can be flattened."""

    def _conditions(self, encoded: EncodedDimension) -> None:  # noqa: ARG002  # there are none here
        return None

    def masked(self, encoded: EncodedDimension) -> bool:
        return bool(encoded.dimension.parameter.when)

    def _absent(self, encoded: EncodedDimension) -> Values:
        return {encoded.sent_as: encoded.encode(encoded.dimension.axis.at(0.5))}

    def _steps(self, encoded: EncodedDimension) -> list[str]:
        masked = ["is always sampled; the trial does not see it where its condition does not hold"]
        return [*encoded.describe(), *(masked if self.masked(encoded) else [])]


class Nested(SpaceCodec):
    """Encode a whole space for a service that places a parameter below one parent; other conditions are masked.

    Attributes:
        parents: the dimension below which each one stands, by its service's name; None for none.
    """

    def __init__(self, space: Space | Entries, choose: Choose, *, legal_names: bool = False) -> None:
        super().__init__(space, choose, legal_names=legal_names)
        self.parents = {encoded.sent_as: self._parent(encoded) for encoded in self.encoded_dimensions}

    def _check(self) -> None:
        """Accept every space: what cannot be placed is masked."""

    @abstractmethod
    def _parent(self, encoded: EncodedDimension) -> EncodedDimension | None:
        """Return the dimension whose values alone decide whether this one exists; None for none."""

    def condition(self, encoded: EncodedDimension) -> tuple[Scalar, ...]:
        """Return the parent's values, as the service gets them, for which a placed dimension exists."""
        parent, when = self.parents[encoded.sent_as], encoded.dimension.parameter.when
        assert parent is not None
        assert when is not None
        return tuple(map(parent.encode, when[parent.dimension.name]))

    def masked(self, encoded: EncodedDimension) -> bool:
        return bool(encoded.dimension.parameter.when) and self.parents[encoded.sent_as] is None


def linear_codecs(parameter: Parameter) -> Sequence[type[Codec]]:
    """Return the codecs of a parameter for a service that has ranges on a linear scale and lists, and no other scale or step.

    Texts and numbers of a list travel as they stand, other values as JSON texts.
    """
    match parameter:
        case Int(step=1, scale="linear") | Float(step=None, scale="linear"):
            return ()
        case Float(step=None, scale="log"):
            return (LogAsExponent,)
        case Float(step=None):
            return (ReverseLogAsExponent,)
        case Int() | Float():
            return (SteppedAsInt,)
        case Normal() | LogNormal():
            return (NormalAsUnit,)
        case Constant(value=value):
            return codecs_of_texts((value,))
        case Categorical(values=values) | Ordinal(values=values):
            return codecs_of_texts(values)


def _chain(parameter: Parameter, choose: Choose) -> tuple[Codec, ...]:
    codecs = []
    for kind in choose(parameter):
        codecs.append(kind.of(parameter))
        parameter = codecs[-1].encode_space(parameter)
    return tuple(codecs)


def _dimension_data(encoded: EncodedDimension) -> dict[str, Any]:
    dimension = encoded.dimension
    when = {parent: list(values) for parent, values in (dimension.parameter.when or {}).items()}
    codecs = [codec.to_data() for codec in encoded.codecs]
    return {"name": dimension.name, "sent_as": encoded.sent_as, "codecs": codecs, **({"when": when} if when else {})}


# Names

MAX_NAME = 200
"""Longest name of a parameter, in characters; SageMaker takes 256 (ParameterKey)."""


def safe_names(names: Sequence[str]) -> dict[str, str]:
    """Return names that match ``^[a-zA-Z_]+[a-zA-Z0-9_]*$``, which Azure Machine Learning requires of a sweep's inputs.

    A legal name stays as it is; the others become similar ones, each unique.

    Args:
        names: the names of the spec, each once.
    """
    return dict(zip(names, _unique_names(names, legal=True), strict=True))


def _unique_names(names: Sequence[str], *, legal: bool) -> list[str]:
    wanted = [_legal(name) if legal else name for name in names]
    taken: set[str] = set()
    result = dict.fromkeys(range(len(names)), "")
    for index in sorted(result, key=lambda index: names[index] != wanted[index]):  # legal names first: they keep theirs
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


def fixed_steps(entry: Parameter | tuple[Parameter, ...]) -> Iterator[str]:
    """Yield how a parameter with a single value travels, where a service sends it apart from what is searched."""
    parameters = entry if isinstance(entry, tuple) else (entry,)
    if any(parameter.when for parameter in parameters):
        yield "is always sent; the trial does not see it where its condition does not hold"
    if not all(isinstance(parameter, Constant) for parameter in parameters):
        yield "has one value alone, which is sent as it is"


def listed_steps(entry: Parameter | tuple[Parameter, ...], sent: Parameter, *, grid: bool) -> Iterator[str]:
    """Yield that a range or normal travels as the list of its values, where that is not plain from the list itself.

    Args:
        entry: of the spec: a parameter, or its variants.
        sent: the parameter that the service gets.
        grid: whether the search is a grid, which turns normals and scales into lists.
    """
    if not isinstance(sent, Ordinal):
        return
    parameters = entry if isinstance(entry, tuple) else (entry,)
    ranges = [parameter for parameter in parameters if not isinstance(parameter, Categorical | Ordinal | Constant)]
    ends = [end for parameter in ranges for end in (parameter.low, parameter.high) if end is not None]
    if ranges and (grid or not set(ends) <= {*sent.values}):
        yield "its values travel as a list"
