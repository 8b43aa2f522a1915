"""The kinds of parameter that a space may hold, as the spec writes them."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Concatenate, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    field_validator,
    model_validator,
)

Scalar = bool | int | float | str | None
"""A value of a parameter."""

Scale = Literal["linear", "log", "reverse_log"]
"""How a numeric axis is walked.

``linear``: x uniform. ``log``: log(x) uniform, needs low > 0. ``reverse_log``: log(1 - x) uniform, needs
0 <= low < high < 1 (the definition of Amazon SageMaker's ReverseLogarithmic scaling).
"""


_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
"""A text that YAML would read as a number if it were not quoted."""


def no_text(value: object) -> object:
    """Raise ValueError for a text or a boolean, which pydantic's lax mode would turn into a number; else return it."""
    if isinstance(value, str):
        quoted = "; take the quotes away" if _NUMBER.fullmatch(value) else ""
        raise ValueError(f"expected a number, not the text {value[:60]!r}{quoted}")  # noqa: TRY004
    if isinstance(value, bool):
        raise ValueError(f"expected a number, not {str(value).lower()}")  # noqa: TRY004
    return value


Number = Annotated[float, BeforeValidator(no_text), Field(allow_inf_nan=False)]
Integer = Annotated[int, BeforeValidator(no_text)]
Positive = Annotated[float, BeforeValidator(no_text), Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(no_text), Field(ge=1)]
ScalarField = StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictStr | None


class SpecModel(BaseModel):
    """The base of all models of the spec: immutable, and unknown keys are errors."""

    # cloudtune.spec.schema reads the fields' docstrings: reading them here would double the time of an import.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def same_scalar(left: Scalar, right: Scalar) -> bool:
    """Return whether two values of the spec are equal: 1 equals 1.0, but neither equals true."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def scalar_key(value: Scalar) -> tuple[bool, Scalar]:
    """Return a hashable key that is equal for values that `same_scalar` calls equal."""
    return isinstance(value, bool), value


def _as_tuple(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Values = Annotated[tuple[ScalarField, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


Conditions = Mapping[str, Scalar | Sequence[Scalar]]
"""What `when` takes in Python: for each parent the value, or the values, with which the parameter exists."""


def _as_pydantic_does(init: Callable[Concatenate[Any, ...], None]) -> Callable[Concatenate[Any, ...], None]:
    """Mark an ``__init__`` as pydantic marks its own (``RootModel``'s, for one): validation fills a model without calling it."""
    init.__pydantic_base_init__ = True  # type: ignore[attr-defined]
    return init


class _Kind(SpecModel):
    """A parameter. In Python its main fields may be given by their place: ``Float(0, 1)``, ``Categorical("a", "b")``."""

    _by_place: ClassVar[
        tuple[str, ...]
    ]  # the fields that may be given by their place; `values` takes all that are given

    @_as_pydantic_does
    def __init__(self, *given: Any, **fields: Any) -> None:
        named = self._named(given)
        if twice := sorted({*named} & {*fields}):
            raise TypeError(f"{type(self).__name__} got {twice[0]} by its place and by its name")
        super().__init__(**named, **fields)

    @classmethod
    def _named(cls, given: tuple[Any, ...]) -> dict[str, Any]:
        """Return by their names the fields that were given by their place."""
        if cls._by_place == ("values",):
            several = given[0] if len(given) == 1 and isinstance(given[0], list | tuple) else given
            return {"values": several} if given else {}
        if len(given) > len(cls._by_place):
            places = " and ".join(cls._by_place)
            raise TypeError(
                f"{cls.__name__} takes {places} by place, not {len(given)} values; write the others by name"
            )
        return dict(zip(cls._by_place, given, strict=False))

    when: dict[str, Values] | None = None
    """The parameter exists only while each of these parents has one of the given values."""

    @field_validator("when")
    @classmethod
    def _conditions_say_something(cls, when: dict[str, Values] | None) -> dict[str, Values] | None:
        if when is not None and not when:
            raise ValueError("names no parent; leave it out, or write {parent: value}")
        return when


class _Range(_Kind):
    scale: Scale = "linear"
    """How the axis is walked: linear, log or reverse_log."""

    @_as_pydantic_does
    def __init__(self, *given: Any, log: bool = False, **fields: Any) -> None:
        if log and fields.setdefault("scale", "log") != "log":
            raise TypeError(f"{type(self).__name__} got log=True and scale={fields['scale']!r}; leave one away")
        super().__init__(*given, **fields)


def _check_range(low: float, high: float, scale: Scale, step: float | None) -> None:
    if low > high:
        raise ValueError(f"low {low} is above high {high}; swap them")
    if scale == "log" and low <= 0:
        raise ValueError(f"a log scale needs low above 0, not {low}")
    if scale == "reverse_log" and not (low >= 0 and high < 1):
        raise ValueError(f"a reverse_log scale needs 0 <= low and high < 1, not {low} to {high}")
    if step is not None and step > high - low > 0:
        raise ValueError(f"step {step} is wider than the range {low} to {high}")
    if isinstance(step, float) and step < 1e-12 * max(abs(low), abs(high)):
        raise ValueError(f"step {step} is too fine beside {low} to {high}: 12 digits are kept of a value")
    if not math.isfinite(high - low):
        raise ValueError(f"the range {low} to {high} is too wide for a float")


class Float(_Range):
    """A real number in [low, high]; with `step`, one of low, low + step, … up to high."""

    _by_place = ("low", "high")

    if TYPE_CHECKING:

        def __init__(
            self,
            low: float,
            high: float,
            *,
            step: float | None = None,
            scale: Scale = "linear",
            log: bool = False,
            when: Conditions | None = None,
        ) -> None: ...

    type: Literal["float"] = "float"
    low: Number
    """The lowest value."""
    high: Number
    """The highest value."""
    step: Positive | None = None
    """The distance of neighbouring values; null for every value of the range."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_range(self.low, self.high, self.scale, self.step)
        return self


class Int(_Range):
    """A whole number in [low, high]; with `step`, one of low, low + step, … up to high."""

    _by_place = ("low", "high")

    if TYPE_CHECKING:

        def __init__(
            self,
            low: int,
            high: int,
            *,
            step: int = 1,
            scale: Literal["linear", "log"] = "linear",
            log: bool = False,
            when: Conditions | None = None,
        ) -> None: ...

    type: Literal["int"] = "int"
    low: Integer
    """The lowest value."""
    high: Integer
    """The highest value."""
    step: Count = 1
    """The distance of neighbouring values."""
    scale: Literal["linear", "log"] = "linear"
    """How the axis is walked: linear or log."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if max(abs(self.low), abs(self.high)) > 2**53:
            raise ValueError("whole numbers must lie within ±2^53, where every service keeps them exact")
        _check_range(self.low, self.high, self.scale, self.step)
        return self


def _distinct(values: tuple[Scalar, ...]) -> None:
    seen: set[tuple[bool, Scalar]] = set()
    for value in values:
        if scalar_key(value) in seen:
            raise ValueError(f"the value {value!r} stands twice")
        seen.add(scalar_key(value))


class Categorical(_Kind):
    """One of some values without an order: texts, numbers, booleans or null, also mixed."""

    _by_place = ("values",)

    if TYPE_CHECKING:

        def __init__(
            self,
            *given: Scalar,
            values: Sequence[Scalar] = (),
            when: Conditions | None = None,
        ) -> None: ...

    type: Literal["categorical"] = "categorical"
    values: Annotated[tuple[ScalarField, ...], Field(min_length=1)]
    """The values, each once."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct(self.values)
        return self


class Ordinal(_Range):
    """One of some values with an order: increasing numbers (Vertex calls them discrete), or texts from low to high."""

    _by_place = ("values",)

    if TYPE_CHECKING:

        def __init__(
            self,
            *given: Scalar,
            values: Sequence[Scalar] = (),
            scale: Scale = "linear",
            log: bool = False,
            when: Conditions | None = None,
        ) -> None: ...

    type: Literal["ordinal"] = "ordinal"
    values: Annotated[tuple[ScalarField, ...], Field(min_length=1)]
    """The values in their order: numbers must increase, texts stand as they rank."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct(self.values)
        numbers = [value for value in self.values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) == len(self.values):
            if numbers != sorted(numbers):
                raise ValueError("ordinal numbers must increase")
            _check_range(numbers[0], numbers[-1], self.scale, None)
        elif not all(isinstance(value, str) for value in self.values):
            raise ValueError("ordinal values are all numbers or all texts; use categorical for a mixture")
        elif self.scale != "linear":
            raise ValueError("a scale needs numbers; these values are texts")
        return self


class Constant(_Kind):
    """One fixed value that every trial receives."""

    _by_place = ("value",)

    if TYPE_CHECKING:

        def __init__(
            self,
            value: Scalar,
            *,
            when: Conditions | None = None,
        ) -> None: ...

    type: Literal["constant"] = "constant"
    value: ScalarField
    """The value."""


class _Normals(_Kind):
    _by_place = ("mean", "std")

    if TYPE_CHECKING:

        def __init__(
            self,
            mean: float,
            std: float,
            *,
            low: float | None = None,
            high: float | None = None,
            step: float | None = None,
            when: Conditions | None = None,
        ) -> None: ...

    mean: Number
    """The mean before any cut; of the logarithm for lognormal."""
    std: Positive
    """The standard deviation before any cut; of the logarithm for lognormal."""
    low: Number | None = None
    """Where the distribution is cut off below; null for no cut."""
    high: Number | None = None
    """Where the distribution is cut off above; null for no cut."""
    step: Positive | None = None
    """Values are multiples of this; null for every value."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self


class Normal(_Normals):
    """A normally distributed real number of the given mean and standard deviation."""

    type: Literal["normal"] = "normal"


class LogNormal(_Normals):
    """A real number above 0 whose logarithm is normally distributed; mean and std are those of the logarithm."""

    type: Literal["lognormal"] = "lognormal"

    @model_validator(mode="after")
    def _above_zero(self) -> Self:
        if (self.low is not None and self.low < 0) or (self.high is not None and self.high <= 0):
            raise ValueError("a lognormal parameter is above 0; so must its cuts be")
        if abs(self.mean) + 6 * self.std > 700:
            raise ValueError("exp(mean ± 6 std) does not fit a float")
        return self


Parameter = Float | Int | Categorical | Ordinal | Constant | Normal | LogNormal
"""Any kind of parameter."""

KINDS: tuple[type[SpecModel], ...] = (Float, Int, Categorical, Ordinal, Constant, Normal, LogNormal)


ParameterField = Annotated[Parameter, Field(discriminator="type")]
VariantsField = Annotated[tuple[ParameterField, ...], Field(min_length=2)]


def _entry_shape(value: Any) -> str:
    return "variants" if isinstance(value, list | tuple) else "one"


Entry = Annotated[
    Annotated[ParameterField, Tag("one")] | Annotated[VariantsField, Tag("variants")],
    Discriminator(_entry_shape),
]
"""The entry of a name in the space: a parameter, or variants of it of which at most one exists in a trial."""
