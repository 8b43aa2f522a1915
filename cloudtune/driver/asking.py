"""Ask a search for trials, also one whose strategy takes its time: the driver goes on meanwhile."""

import time
from collections.abc import Callable

from cloudtune.driver.course import Moments
from cloudtune.search import Search, Suggestion
from cloudtune.search.background import MOMENT

_LAST_WORDS = 10.0
"""Seconds that a run which has ended waits for its strategy to take in how the last trials ended."""


class Asking:
    """Asks for the trials of one run.

    Args:
        search: of the run.
        say: adds an event of the run.

    Attributes:
        moment: when the last suggestion was asked for, which may be long before it came; see `Moments`.
    """

    def __init__(self, search: Search, say: Callable[[str], None]) -> None:
        self._search, self._strategy, self._say = search, search.background, say
        self._asked: int | None = None
        self._until: float | None = None
        self.moment = 0

    @property
    def pending(self) -> bool:
        """Whether a suggestion was asked for that is still to come."""
        return self._strategy is not None and self._strategy.asking

    def ask(self, moments: Moments, room: int) -> Suggestion | None:
        """Return the next trial; None where there is none, or not yet.

        Args:
            moments: of the run.
            room: how many trials may begin now.
        """
        asked = moments.upcoming if self._asked is None else self._asked
        suggestion = self._search.ask(room=room)
        self._asked = asked if self.pending else None
        if suggestion is not None and not suggestion.resumed:
            self.moment = moments.take(asked)
        return suggestion

    def pause(self, longest: float) -> float:
        """Return how many seconds to wait for other things before the next `ask`."""
        return MOMENT if self.pending else longest

    def verdicts(self) -> list[tuple[int, int]]:
        """Return the trials that the rule of a slow strategy would end, each with the step that it was judged by.

        Raises:
            ProviderError: a service of the strategy's refuses, or does not answer in the end.
        """
        return [] if self._strategy is None else self._strategy.verdicts()

    def over(self, *, interrupted: bool) -> bool:
        """Return whether a run without further trials may end now: its strategy knows all, or has had its time for that.

        Args:
            interrupted: whether the run goes on later, and its strategy is told then.
        """
        if self._strategy is None or interrupted:
            return True
        self._strategy.drop()
        self._until = self._until or time.monotonic() + _LAST_WORDS
        if self._strategy.rests(MOMENT):
            return True
        if time.monotonic() < self._until:
            return False
        self._say("the strategy was not told of the last trials: what it asks has not answered in time")
        return True

    def close(self) -> None:
        """End what works in the background."""
        if self._strategy is not None:
            self._strategy.close()
