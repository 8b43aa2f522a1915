"""Conversion of the parameters of Weights & Biases' sweeps.

The meaning of distributions is that of the package ``sweeps`` (sweeps/params.py, sweeps/config/schema.json) and the
documentation: https://docs.wandb.ai/models/sweeps/sweep-config-keys
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudtune.errors import Problem
from cloudtune.interop import build, plain, stepped
from cloudtune.interop.documents import Document, path_text
from cloudtune.interop.formats import Note
from cloudtune.space.axes import SIGNIFICANT_DIGITS
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Parameter, scalar_key

Steps = tuple[str | int, ...]


class _MistakeError(ValueError):
    """A mistake at a key of a parameter; "" for the parameter as a whole."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


@dataclass
class Parameters:
    """The converted parameters of a sweep.

    Attributes:
        document: the sweep configuration.
        found: the parameters by name; nested names are joined by dots.
        places: the paths of the parameters in the document, by name.
        notes: the differences.
        problems: mistakes, with their places.
    """

    document: Document
    found: dict[str, Parameter] = field(default_factory=dict)
    places: dict[str, Steps] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def read(self, given: Any, steps: Steps = ("parameters",), prefix: str = "") -> None:
        """Read a mapping of parameters; mistakes are added to the problems."""
        if not isinstance(given, Mapping) or not given:
            self._mistake(steps, "must be a mapping of parameters by name")
            return
        for key, parameter in given.items():
            name, here = f"{prefix}{key}", (*steps, str(key))
            if not isinstance(parameter, Mapping):
                self._mistake(here, "must be a mapping, such as {min: 0.1, max: 1.0} or {values: [1, 2]}")
            elif "parameters" in parameter and not parameter.keys() - {"parameters"}:
                self.read(parameter["parameters"], (*here, "parameters"), f"{name}.")
            elif name in self.found:
                self._mistake(here, f"the name {name!r} stands twice, once as a nested one")
            else:
                self._read_one(name, parameter, here)

    def _mistake(self, steps: Steps, message: str) -> None:
        self.problems.append(self.document.problem(steps, message))

    def _read_one(self, name: str, given: Mapping[str, Any], steps: Steps) -> None:
        try:
            reading = _Reading(name, dict(given))
            self.found[name] = reading.parameter()
            self.places[name] = steps
        except _MistakeError as error:
            self._mistake((*steps, error.key) if error.key else steps, str(error))
        except ValueError as error:
            self._mistake(steps, str(error).removeprefix(f"{name}: "))
        except OverflowError:
            self._mistake(steps, "a number in it is too large")
        else:
            self.notes += [Note(path_text((*steps, *key)), message) for key, message in reading.notes()]


class _Reading:
    """The conversion of one parameter.

    Args:
        name: the parameter's name.
        given: its mapping in the file.
    """

    def __init__(self, name: str, given: dict[str, Any]) -> None:
        self._name = name
        self._given = given
        self._notes: list[tuple[Steps, str]] = []
        self.kind = self._kind()

    def notes(self) -> Iterator[tuple[Steps, str]]:
        """Yield notes, each with the path of a key below the parameter."""
        yield from dict.fromkeys(self._notes)

    def parameter(self) -> Parameter:
        """Return the parameter.

        Raises:
            _MistakeError: a key is missing or not valid.
        """
        if self.kind not in _KINDS:
            known = ", ".join(sorted(_KINDS))
            raise _MistakeError("distribution", f"{self.kind!r} is no distribution of a sweep; known are: {known}")
        make, keys = _KINDS[self.kind]
        for key in self._given:
            if key not in (*keys, "distribution", "description"):
                raise _MistakeError(key, f"has no meaning for the distribution {self.kind}")
        return make(self)

    def _kind(self) -> str:
        """Return the name of the distribution, which by default follows from the keys, as documented."""
        given = self._given
        if "distribution" in given:
            return str(given["distribution"])
        if "value" in given:
            return "constant"
        if "values" in given:
            return "categorical"
        if "min" in given and "max" in given:
            bounds = (self._number("min"), self._number("max"))
            return "int_uniform" if all(isinstance(bound, int) for bound in bounds) else "uniform"
        raise _MistakeError("", "says nothing to choose from; give value, values, or min and max")

    def _note(self, key: str, message: str) -> None:
        self._notes.append(((key,) if key else (), message))

    def _number(self, key: str, default: float | None = None) -> int | float:
        value = self._given.get(key, default)
        if isinstance(value, str):  # to YAML 1.1, 1e-4 is a text
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if math.isfinite(number):
                self._note(key, _OF_A_TEXT.format(value=_written(number)))
                return number
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _MistakeError(key, "is missing" if value is None else f"must be a number, not {value!r}")
        return value

    def _bounds(self) -> tuple[int | float, int | float]:
        low, high = self._number("min"), self._number("max")
        if low > high:
            raise _MistakeError("min", f"{low} is above max, {high}; swap them")
        return low, high

    def _step(self) -> int | float:
        step = self._number("q", 1.0)
        if step <= 0:
            raise _MistakeError("q", f"must be above 0, not {step}")
        return step

    # Lists

    def constant(self) -> Parameter:
        if "value" not in self._given:
            raise _MistakeError("value", "is missing")
        value = self._plain(self._given["value"], ("value",))
        return build(Constant, self._name, value=self._numbers([value], [("value",)])[0])

    def categorical(self) -> Parameter:
        values = self._given.get("values")
        if not isinstance(values, list) or not values:
            raise _MistakeError("values", "must be a list of values")
        read = [self._plain(value, ("values", index)) for index, value in enumerate(values)]
        read = self._numbers(read, [("values", index) for index in range(len(read))])
        distinct = list({scalar_key(value): value for value in reversed(read)}.values())[::-1]
        shares = self._given.get("probabilities")
        if shares is not None and (not isinstance(shares, list) or len(shares) != len(values)):
            raise _MistakeError("probabilities", "must be a list with a number for each of the values")
        if len(distinct) < len(read) or (shares is not None and len(set(map(str, shares))) > 1):
            key = "values" if shares is None else "probabilities"
            self._note(key, "are not equally likely there, here they are: cloudtune has no weights")
        return build(Categorical, self._name, values=tuple(distinct))

    def _numbers(self, values: list[Any], places: Sequence[Steps]) -> list[Any]:
        """Return values with texts such as 1e-4 (no number to YAML 1.1) as numbers, unless there are other texts."""
        numbers = [_number_of(value) for value in values]
        if all(number is not None for number in numbers):
            for number, value, place in zip(numbers, values, places, strict=True):
                if isinstance(value, str):
                    self._notes.append((place, _OF_A_TEXT.format(value=_written(float(number or 0)))))
            return numbers
        for number, value, place in zip(numbers, values, places, strict=True):
            if isinstance(value, str) and number is not None:
                self._notes.append((place, f"is the text {value!r}, as it is to Weights & Biases; for a number write {_written(number)}"))  # fmt: skip
        return values

    def _plain(self, value: Any, steps: Steps) -> Any:
        """Return a scalar, or for a list or mapping the text that an agent puts into the command line."""
        if not isinstance(value, list | dict):
            return plain(self._name, value)
        self._notes.append((steps, f"is the text {str(value)!r} here, as it stands in the command line there"))
        return str(value)

    # Ranges

    def int_uniform(self) -> Parameter:
        low, high = self._bounds()
        if not float(low).is_integer() or not float(high).is_integer():
            raise _MistakeError("min" if not float(low).is_integer() else "max", "must be a whole number")
        return build(Int, self._name, low=int(low), high=int(high))

    def uniform(self) -> Parameter:
        low, high = self._bounds()
        return build(Float, self._name, low=low, high=high)

    def q_uniform(self) -> Parameter:
        return self._quantised(*self._bounds(), "linear")

    def log_uniform(self) -> Parameter:
        """Return the parameter of ``exp(X)`` for a uniform X: the bounds are exponents of e."""
        low, high = self._bounds()
        return build(Float, self._name, low=self._exp(low, "min"), high=self._exp(high, "max"), scale="log")

    def log_uniform_values(self) -> Parameter:
        low, high = self._positive()
        return build(Float, self._name, low=low, high=high, scale="log")

    def inv_log_uniform(self) -> Parameter:
        """Return the parameter of X with a uniform ``log(1/X)``: X ranges from exp(-max) to exp(-min)."""
        low, high = self._bounds()
        return build(Float, self._name, low=self._exp(-high, "max"), high=self._exp(-low, "min"), scale="log")

    def q_log_uniform(self) -> Parameter:
        low, high = self._bounds()
        return self._quantised(self._exp(low, "min"), self._exp(high, "max"), "log")

    def q_log_uniform_values(self) -> Parameter:
        return self._quantised(*self._positive(), "log")

    def _positive(self) -> tuple[int | float, int | float]:
        low, high = self._bounds()
        if low <= 0:
            raise _MistakeError("min", f"must be above 0, not {low}")
        return low, high

    def _exp(self, exponent: float, key: str) -> float:
        """Return e to a power, rounded to `SIGNIFICANT_DIGITS`."""
        if abs(exponent) > 700:
            raise _MistakeError(
                key, f"is an exponent of e, and too large for one: {exponent}; write log_uniform_values"
            )
        return float(f"{math.exp(exponent):.{SIGNIFICANT_DIGITS - 1}e}")

    def _quantised(self, low: float, high: float, scale: str) -> Parameter:
        """Return the parameter of the multiples of q to which draws are rounded; an int parameter if q is an int."""
        step = self._step()
        if low / step < 0.5 and scale == "log":
            self._note("q", "rounds small values to 0 there; a log scale has no 0, so that q itself is the lowest here")
        self._note("distribution", "all multiples of q are equally likely here, there the first and the last less so")
        return stepped(self._name, low, high, step, scale, whole=isinstance(step, int))

    # Normal distributions

    def normal(self) -> Parameter:
        return self._normal(Normal, None)

    def q_normal(self) -> Parameter:
        return self._normal(Normal, self._step())

    def log_normal(self) -> Parameter:
        return self._normal(LogNormal, None)

    def q_log_normal(self) -> Parameter:
        return self._normal(LogNormal, self._step())

    def _normal(self, kind: type[Parameter], step: float | None) -> Parameter:
        mean, std = self._number("mu", 0.0), self._number("sigma", 1.0)
        if std <= 0:
            raise _MistakeError("sigma", f"must be above 0, not {std}")
        if isinstance(step, int):
            self._note("q", f"values are whole numbers there, and numbers without a fraction here, such as {step:.1f}")
        return build(kind, self._name, mean=mean, std=std, step=step)

    # Distributions without a counterpart

    def beta(self) -> Parameter:
        a, b = self._number("a", 1.0), self._number("b", 1.0)
        if (a, b) != (1, 1):
            self._note("distribution", "cloudtune has no beta distribution: all values from 0 to 1 are equally likely")
        step = self._step() if self.kind == "q_beta" else None
        return build(Float, self._name, low=0.0, high=1.0, step=step)


_RANGE, _NORMAL = ("min", "max"), ("mu", "sigma")
_KINDS: Mapping[str, tuple[Callable[[_Reading], Parameter], tuple[str, ...]]] = {
    "constant": (_Reading.constant, ("value",)),
    "categorical": (_Reading.categorical, ("values", "probabilities")),
    "categorical_w_probabilities": (_Reading.categorical, ("values", "probabilities")),
    "int_uniform": (_Reading.int_uniform, _RANGE),
    "uniform": (_Reading.uniform, _RANGE),
    "q_uniform": (_Reading.q_uniform, (*_RANGE, "q")),
    "log_uniform": (_Reading.log_uniform, _RANGE),
    "log_uniform_values": (_Reading.log_uniform_values, _RANGE),
    "inv_log_uniform": (_Reading.inv_log_uniform, _RANGE),
    "inv_log_uniform_values": (_Reading.log_uniform_values, _RANGE),
    "q_log_uniform": (_Reading.q_log_uniform, (*_RANGE, "q")),
    "q_log_uniform_values": (_Reading.q_log_uniform_values, (*_RANGE, "q")),
    "normal": (_Reading.normal, _NORMAL),
    "q_normal": (_Reading.q_normal, (*_NORMAL, "q")),
    "log_normal": (_Reading.log_normal, _NORMAL),
    "q_log_normal": (_Reading.q_log_normal, (*_NORMAL, "q")),
    "beta": (_Reading.beta, ("a", "b")),
    "q_beta": (_Reading.beta, ("a", "b", "q")),
}
"""For each distribution, the method that converts it and its keys."""


_OF_A_TEXT = "is a text to Weights & Biases; write {value} there, which is the number that it is here"
_TEXT_OF_A_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def _number_of(value: Any) -> int | float | None:
    """Return a number, also of a text such as 1e-4, which is no number to YAML 1.1; None for anything else."""
    if isinstance(value, str) and len(value) < _LONGEST_NUMBER and _TEXT_OF_A_NUMBER.fullmatch(value):
        value = float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


_LONGEST_NUMBER = 300


def _written(number: float) -> str:
    """Return a number in a spelling that is a number to YAML 1.1."""
    mantissa, exponent, power = repr(float(number)).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") * bool(exponent) + exponent + power


def json_words(parameters: Mapping[str, Parameter], names: Mapping[str, str]) -> str | None:
    """Return the text for ``${args_json}``: a JSON object of all parameters with placeholders; None if impossible.

    Args:
        parameters: the parameters by the sweep's names.
        names: the job's names by the sweep's.
    """
    members = []
    for name, parameter in parameters.items():
        values = parameter.values if isinstance(parameter, Categorical) else [getattr(parameter, "value", 0)]
        texts = [isinstance(value, str) for value in values]
        escaped = any(isinstance(value, str) and json.dumps(value) != f'"{value}"' for value in values)
        if any(texts) and (not all(texts) or escaped):
            return None
        place = f"{{{names[name]}}}"
        members.append(f'{json.dumps(name)}: "{place}"' if all(texts) else f"{json.dumps(name)}: {place}")
    return "{" + ", ".join(members) + "}"
