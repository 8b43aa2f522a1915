"""Conversion of search spaces and jobs from and to other libraries.

`cloudtune.interop.optuna`, `cloudtune.interop.hyperopt` and `cloudtune.interop.ray_tune` import the library of that
name, which the extra of that name installs. This module holds what they share, and needs none of them.

`cloudtune.interop.formats` has the interface of formats from and to which whole jobs are converted.
"""

import math
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
from pydantic import ValidationError

from cloudtune.space.axes import Axis, ListedAxis, NormalAxis, RealAxis, SteppedAxis
from cloudtune.space.parameters import Float, Int, Parameter, Scalar
from cloudtune.space.space import Dimension, Entries, with_parameters

Way = Literal["value", "index", "position"]
"""How a dimension's values are encoded in another library.

``value``: unchanged. ``index``: as the index, from 0, among all values of a finite axis. ``position``: as the position
in [0, 1], on which the dimension's distribution is uniform (see `cloudtune.space.axes`).
"""

_NARROWEST, _WIDEST = 1e-9, 1e100


@dataclass(frozen=True, slots=True)
class Carrier:
    """The encoding of a dimension's values in another library.

    Attributes:
        dimension: the dimension of cloudtune's space.
        by: how values are encoded, see `Way`; ``index`` needs a finite axis.
    """

    dimension: Dimension
    by: Way

    def encode(self, value: Scalar) -> Scalar:
        """Return the encoding of a value.

        Raises:
            ValueError: the dimension has no such value.
        """
        axis = self.dimension.axis
        if self.by == "position":
            return axis.position(value)
        if not isinstance(axis, ListedAxis | SteppedAxis):
            return axis.at(axis.position(value))
        index = axis.index(value)
        return index if self.by == "index" else axis.grid(1)[index]

    def decode(self, raw: Scalar) -> Scalar:
        """Return the value of an encoding; for a number out of range, the nearest value."""
        axis = self.dimension.axis
        if self.by == "value":
            return axis.at(axis.position(_within(axis, raw)))
        number = float(raw)  # type: ignore[arg-type]  # an index or a position
        if self.by == "position":
            return axis.at(min(max(number, 0.0), 1.0))
        values = axis.grid(1)
        return values[min(max(round(number), 0), len(values) - 1)]


def _within(axis: Axis, raw: Scalar) -> Scalar:
    """Return the raw value, clipped to the axis, which rounding of logarithms may exceed by the last bit."""
    if isinstance(axis, RealAxis | NormalAxis):
        return min(max(float(raw), axis.low), axis.high)  # type: ignore[arg-type]  # a number
    return raw


def comfortable(width: float) -> bool:
    """Return whether density estimates on a range of this width (or standard deviation) avoid under- and overflow.

    HyperOpt refuses deviations below 1e-12, and HyperOpt and Optuna square deviations.
    """
    return _NARROWEST <= width <= _WIDEST


def plain(name: str, value: object) -> Scalar:
    """Return a value of another library as a scalar of the spec; numpy's scalars become Python's.

    Raises:
        ValueError: the value is not null, a boolean, a finite number or a text; the message names the parameter.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(
        f"{name}: cloudtune has no value {value!r}; use texts, finite numbers, booleans or null, "
        "and make of a text in the trial whatever it stands for"
    )


_LONGEST_NAME = 256


def legal_names(theirs: Iterable[str]) -> dict[str, str]:
    """Return for each parameter name of another tool a valid and unique name in a spec: itself, or a similar one."""
    wanted = {name: _legal(name) for name in theirs}
    names = {name: name for name, legal in wanted.items() if name == legal}  # reserved before others are made
    taken = set(names)
    for name, legal in wanted.items():
        if name not in names:
            names[name] = _free(legal, taken)
            taken.add(names[name])
    return {name: names[name] for name in wanted}


def _free(name: str, taken: Container[str]) -> str:
    suffix = ""
    while (found := name[: _LONGEST_NAME - len(suffix)] + suffix) in taken:
        suffix += "_"
    return found


def _legal(name: str) -> str:
    printable = "".join(char if char.isprintable() or char.isspace() else "_" for char in name)
    return re.sub(r"[\s{}=]+", "_", printable).lstrip("-")[:_LONGEST_NAME] or "parameter"


def note_of_name(ours: str) -> str:
    """Return the note about a parameter whose name is not valid in a spec."""
    return f"is called {ours} here: a name in a spec has no spaces, braces or =, and begins with no dash"


def with_legal_names(entries: Entries) -> tuple[dict[str, Parameter | tuple[Parameter, ...]], dict[str, str]]:
    """Return the space with names that are valid in a spec, also in conditions, and the new names by the old ones."""
    names = legal_names(entries)
    renamed = {name: ours for name, ours in names.items() if name != ours}
    if not renamed:
        return dict(entries), {}

    def changed(parameter: Parameter) -> Parameter:
        if not parameter.when:
            return parameter
        return parameter.model_copy(update={"when": {names[name]: values for name, values in parameter.when.items()}})

    return {names[name]: entry for name, entry in with_parameters(entries, changed).items()}, renamed


def legal_job_name(name: str, otherwise: str) -> str:
    """Return a valid name of a job similar to `name`; `otherwise` if no valid character is left."""
    legal = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")
    return legal[:63].strip("-_") or otherwise


def build(kind: type[Parameter], name: str, **fields: object) -> Parameter:
    """Return a parameter of a kind with these fields.

    Raises:
        ValueError: the fields are not valid for the kind; the message names the parameter.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(str(part) for part in found["loc"])
        message = found["msg"].removeprefix("Value error, ")
        raise ValueError(f"{'.'.join(filter(None, [name, place]))}: {message}") from None


def stepped(name: str, low: float, high: float, q: float, scale: str, *, whole: bool) -> Parameter:
    """Return the parameter of the multiples of q to which numbers from low to high are rounded.

    On a log scale, which has no 0, q is the lowest value.

    Args:
        name: the parameter's name, for messages.
        low: the lowest number.
        high: the highest number.
        q: the quantum; values are its multiples.
        scale: ``linear`` or ``log``.
        whole: whether the values are integers; q must then be one.

    Raises:
        ValueError: there is no such parameter; the message names it.
    """
    slack = 1e-9  # exp(log(9)) is a little above 9
    first, last = math.floor(low / q + 0.5 + slack), math.ceil(high / q - 0.5 - slack)
    if scale == "log":
        first = max(first, 1)
    last = max(first, last)
    if whole:
        return build(Int, name, low=first * int(q), high=last * int(q), step=int(q), scale=scale)
    step = Decimal(repr(float(q)))
    return build(Float, name, low=float(first * step), high=float(last * step), step=float(q), scale=scale)
