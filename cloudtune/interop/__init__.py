"""Search spaces of other libraries, to and from cloudtune's.

`cloudtune.interop.optuna`, `cloudtune.interop.hyperopt` and `cloudtune.interop.ray_tune` each import the library that
they are named after, which comes with the extra of that name. Here is what they share, which needs none of them.

`cloudtune.interop.formats` is the register of formats that whole jobs come from or go to.
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
from cloudtune.space.space import Dimension, Entries

Way = Literal["value", "index", "position"]
"""How a dimension's values travel through another library.

``value``: as themselves. ``index``: as their place, from 0, among all values of a finite axis. ``position``: as their
place in [0, 1], on which the dimension's distribution is uniform (see `cloudtune.space.axes`).
"""

_NARROWEST, _WIDEST = 1e-9, 1e100


@dataclass(frozen=True, slots=True)
class Carrier:
    """Takes the values of a dimension to another library and back.

    Attributes:
        dimension: of our space.
        by: see `Way`; ``index`` needs a finite axis.
    """

    dimension: Dimension
    by: Way

    def encode(self, value: Scalar) -> Scalar:
        """What stands for a value in the other library.

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
        """The value that something of the other library stands for; of a number that is out of range the nearest."""
        axis = self.dimension.axis
        if self.by == "value":
            return axis.at(axis.position(_within(axis, raw)))
        number = float(raw)  # type: ignore[arg-type]  # an index or a position
        if self.by == "position":
            return axis.at(min(max(number, 0.0), 1.0))
        values = axis.grid(1)
        return values[min(max(round(number), 0), len(values) - 1)]


def _within(axis: Axis, raw: Scalar) -> Scalar:
    """The raw value, brought within the axis: logarithms there and back may leave it by the last bit."""
    if isinstance(axis, RealAxis | NormalAxis):
        return min(max(float(raw), axis.low), axis.high)  # type: ignore[arg-type]  # a number
    return raw


def comfortable(width: float) -> bool:
    """Whether density estimates on a range of this width (or standard deviation) stay clear of the limits of floats.

    HyperOpt, for one, takes no deviation below 1e-12, and both square deviations.
    """
    return _NARROWEST <= width <= _WIDEST


def plain(name: str, value: object) -> Scalar:
    """A value of a spec, out of what another library allows: numpy's numbers become Python's.

    Raises:
        ValueError: it is not null, a boolean, a finite number or a text; the message names the parameter.
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
    """For each name of another tool's parameters one that a spec may have: its own, or as near as can be."""
    wanted = {name: _legal(name) for name in theirs}
    names = {name: name for name, legal in wanted.items() if name == legal}  # which nobody takes from them
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
    """What is said of a parameter whose name a spec cannot have."""
    return f"is called {ours} here: a name in a spec has no spaces, braces or =, and begins with no dash"


def with_legal_names(entries: Entries) -> tuple[dict[str, Parameter | tuple[Parameter, ...]], dict[str, str]]:
    """Return a space whose names a spec may have, also in conditions, and the new names of those that had others."""
    names = legal_names(entries)
    renamed = {name: ours for name, ours in names.items() if name != ours}
    if not renamed:
        return dict(entries), {}

    def changed(parameter: Parameter) -> Parameter:
        if not parameter.when:
            return parameter
        return parameter.model_copy(update={"when": {names[name]: values for name, values in parameter.when.items()}})

    return {
        names[name]: tuple(map(changed, entry)) if isinstance(entry, tuple) else changed(entry)
        for name, entry in entries.items()
    }, renamed


def legal_job_name(said: str, otherwise: str) -> str:
    """A name that a job may have, as near to what is said as can be; the other one where nothing of it is left."""
    legal = re.sub(r"[^A-Za-z0-9_-]+", "-", said).strip("-_")
    return legal[:63].strip("-_") or otherwise


def build(kind: type[Parameter], name: str, **fields: object) -> Parameter:
    """A parameter of a kind with these fields.

    Raises:
        ValueError: the fields do not fit the kind; the message names the parameter.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(str(part) for part in found["loc"])
        message = found["msg"].removeprefix("Value error, ")
        raise ValueError(f"{'.'.join(filter(None, [name, place]))}: {message}") from None


def stepped(name: str, low: float, high: float, q: float, scale: str, *, whole: bool) -> Parameter:
    """The multiples of q to which numbers from low to high are rounded.

    On a log scale, which has no 0, the first multiple of q is the lowest.

    Args:
        name: of the parameter, for messages.
        low: the lowest number.
        high: the highest number.
        q: what is rounded to a multiple of.
        scale: ``linear`` or ``log``.
        whole: whether the values are whole numbers, as q then must be.

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
