"""A history of states, so that answers can lag behind the actual state, as a service's do."""

import time
from typing import Generic, TypeVar

State = TypeVar("State")


class Timeline(Generic[State]):
    """The states of a job or tuning job with their times. States are immutable values.

    Args:
        first: the current state.
    """

    def __init__(self, first: State) -> None:
        self._states = [(time.monotonic(), first)]

    @property
    def now(self) -> State:
        """The current state."""
        return self._states[-1][1]

    def put(self, state: State) -> None:
        """Append a new state."""
        self._states.append((time.monotonic(), state))

    def amend(self, state: State) -> None:
        """Replace the current state without a new entry in the history."""
        self._states[-1] = (self._states[-1][0], state)

    def at(self, lag: float) -> State:
        """Return the state `lag` seconds ago; the first one if there was none yet."""
        moment = time.monotonic() - lag
        past = [state for since, state in self._states if since <= moment] if lag > 0 else [self.now]
        return past[-1] if past else self._states[0][1]
