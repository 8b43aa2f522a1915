"""The ranges of a tuning request as parameters of cloudtune, and values on their way between both."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cloudtune.space.parameters import Categorical, Constant, Float, Int, Parameter, Scalar

_LEGAL = re.compile(r"[^\s{}=\-][^\s{}=]{0,255}\Z")
"""Names that a space of cloudtune takes as they are."""

WIDE = 100
"""The least ratio of the bounds of a range above 0 that ScalingType Auto walks by its logarithm.

The service does not tell how it chooses ("SageMaker chooses the best scale for the hyperparameter"): this is as good a
guess as any.
"""

_HINT_FACTOR = 10
"""How far on each side an AutoParameter's range reaches from its ValueHint; the service does not tell what it does."""

_SCALES: Mapping[str, Literal["linear", "log", "reverse_log"]] = {
    "Linear": "linear",
    "Logarithmic": "log",
    "ReverseLogarithmic": "reverse_log",
}


@dataclass(frozen=True, slots=True)
class Range:
    """One tuned hyperparameter.

    Attributes:
        name: the hyperparameter's.
        key: its name in the space of cloudtune.
        parameter: its values.
    """

    name: str
    key: str
    parameter: Parameter

    def write(self, value: Scalar) -> str:
        """Return a value as the training job gets it."""
        return repr(value) if isinstance(value, float) else str(value)

    def read(self, text: str) -> Scalar:
        """Return the value that a training job of this or another tuning job got.

        Raises:
            ValueError: it is no number, and has to be one.
        """
        if isinstance(self.parameter, Int):
            return int(float(text))
        return float(text) if isinstance(self.parameter, Float) else text


def ranges_of(declared: Mapping[str, Any]) -> list[Range]:
    """Return the ranges in the order integer, continuous, categorical, automatic.

    Args:
        declared: ParameterRanges.

    Raises:
        ValueError: a range has no values.
    """
    return [Range(name, _key(name), parameter) for name, parameter in _parameters(declared)]


def _parameters(declared: Mapping[str, Any]) -> Iterator[tuple[str, Parameter]]:
    for each in declared.get("IntegerParameterRanges") or ():
        low, high = int(float(each["MinValue"])), int(float(each["MaxValue"]))
        scale = _scale(each, low, high)
        yield each["Name"], Int(low=low, high=high, scale="log" if scale == "log" else "linear")
    for each in declared.get("ContinuousParameterRanges") or ():
        bottom, top = float(each["MinValue"]), float(each["MaxValue"])
        yield each["Name"], Float(low=bottom, high=top, scale=_scale(each, bottom, top))
    for each in declared.get("CategoricalParameterRanges") or ():
        yield each["Name"], Categorical(values=tuple(each["Values"]))
    for each in declared.get("AutoParameters") or ():
        yield each["Name"], _around(each["ValueHint"])


def _scale(declared: Mapping[str, Any], low: float, high: float) -> Literal["linear", "log", "reverse_log"]:
    asked = declared.get("ScalingType") or "Auto"
    if asked == "Auto":
        return "log" if low > 0 and high / low >= WIDE else "linear"
    return _SCALES[asked]


def _around(hint: str) -> Parameter:
    """Return the range that Autotune gives a parameter of which only a good value is known."""
    try:
        value = float(hint)
    except ValueError:
        return Constant(value=hint)
    whole = re.fullmatch(r"[-+]?\d+", hint) is not None
    if value <= 0:
        low, high = value - _HINT_FACTOR, value + _HINT_FACTOR
        return Int(low=int(low), high=int(high)) if whole else Float(low=low, high=high)
    if whole:
        return Int(low=max(1, int(value) // _HINT_FACTOR), high=int(value) * _HINT_FACTOR, scale="log")
    return Float(low=value / _HINT_FACTOR, high=value * _HINT_FACTOR, scale="log")


def _key(name: str) -> str:
    return name if _LEGAL.match(name) else f"hyperparameter:{name.encode().hex()}"


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """Return a name that none of the others is."""
    while wanted in taken:
        wanted += "'"
    return wanted
