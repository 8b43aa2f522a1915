"""States over time, so that an answer can lag behind what is, as a service's answers do."""

import time
from typing import Generic, TypeVar

State = TypeVar("State")


class Timeline(Generic[State]):
    """The states that something went through, and when. States are values: a change is a new one.

    Args:
        first: its state now.
    """

    def __init__(self, first: State) -> None:
        self._states = [(time.monotonic(), first)]

    @property
    def now(self) -> State:
        """The state at the moment."""
        return self._states[-1][1]

    def put(self, state: State) -> None:
        """Goes over to another state."""
        self._states.append((time.monotonic(), state))

    def amend(self, state: State) -> None:
        """Changes the present state without a step of its own in the history."""
        self._states[-1] = (self._states[-1][0], state)

    def at(self, lag: float) -> State:
        """The state so many seconds ago; the first one where there was none yet."""
        moment = time.monotonic() - lag
        past = [state for since, state in self._states if since <= moment] if lag > 0 else [self.now]
        return past[-1] if past else self._states[0][1]
