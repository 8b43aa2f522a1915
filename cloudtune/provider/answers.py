"""What a service answers, as a listener gets it: for comparing a real service with its emulator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a service.

    Attributes:
        operation: what was asked for, without names of things, e.g. ``CreateTrainingJob``, ``GET workspaces/jobs``.
        error: the service's code of an error, e.g. ``ResourceNotFound``; "" for none.
        data: the answer as plain data: mappings, lists and scalars.
    """

    operation: str
    error: str
    data: Any


Listener = Callable[[Answer], None]
"""Takes every answer, in the order in which they come."""
