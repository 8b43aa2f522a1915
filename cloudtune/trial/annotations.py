"""Types of the helper's functions, for type checkers alone: no trial imports this module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

Scalar = bool | int | float | str | None
"""A parameter's value."""

Sink = Callable[[int, float, dict[str, float]], None]
"""Takes a report: its step, seconds since 1970, and the metrics by name."""


class Place(Protocol):
    """Returns the arguments to execute, with a trial's parameters and its seed placed in a command."""

    def __call__(self, parameters: Mapping[str, Scalar], seed: int | None = None) -> list[str]: ...


Listen = Callable[[bytes], None]
"""Takes the next piece of a program's output; an empty one at its end."""
