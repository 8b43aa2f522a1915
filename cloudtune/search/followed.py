"""A search that goes along a course which is known, and says at each trial what it would have suggested."""

from collections.abc import Mapping

from cloudtune.search.ask_tell import Search
from cloudtune.search.suggestion import Suggestion
from cloudtune.space.parameters import Scalar
from cloudtune.store.records import TRIED, TrialState


class FollowedSearch(Search):
    """A search whose trials are known: it suggests each of them anew, and goes on with the known one whatever it suggested."""

    def follow(self, number: int, parameters: Mapping[str, Scalar], origin: str = "") -> Suggestion | None:
        """Return what the search suggests in the place of a known trial, and make the known one pending.

        Args:
            number: of the known trial; numbers that the search passes over belong to others.
            parameters: of the known trial.
            origin: of the known trial; for one of a user's, which no search suggests, the known one is returned.

        Returns:
            None where it has nothing left to suggest.
        """
        values = dict(parameters)
        if origin == TRIED:
            self.restore(number, values, origin)
            return Suggestion(number, values, origin)
        self._next, self._trials, self._nothing_left = number, None, False
        suggestion = self._new(1)
        if suggestion is None or suggestion.parameters != values:
            self._strategy.restore(number, values)
        self._pending[number] = values
        self._next = number + 1
        return suggestion

    def take_report(self, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """Take in a report of a known trial, and pause it where the rule says so.

        When a trial was paused and when it went on is not told: it goes on with its next report, which is all that a
        suggestion depends on.

        Args:
            number: of the trial; one that is not pending or paused is passed over.
            step: of the report.
            metrics: names and values.
        """
        if number in self._paused.trials:
            self._pending[number] = self._paused.take(number)
        if number in self._pending and self.report(number, step, metrics) and self.pauses:
            self.tell(number, state=TrialState.PAUSED)
