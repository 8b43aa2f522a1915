"""Lists of values in the place of ranges, for services whose grids take lists alone."""

from cloudtune.space.axes import axis_of
from cloudtune.space.parameters import Categorical, Constant, Ordinal, Parameter, Scalar


def listed_values(parameter: Parameter, levels: int | None, most: int) -> tuple[Scalar, ...] | None:
    """Return the values of a range or normal on a grid.

    Args:
        parameter: of the spec.
        levels: number of values of a parameter without a step; None for no grid.
        most: number of values that the service takes.

    Returns:
        The values, each once; None for a parameter that has a list already, has no end of values or more than `most`.
    """
    if isinstance(parameter, Categorical | Constant | Ordinal):
        return None
    axis = axis_of(parameter)
    count = axis.size or levels
    if count is None or count > most:
        return None
    return tuple(dict.fromkeys(axis.grid(levels or 1)))
