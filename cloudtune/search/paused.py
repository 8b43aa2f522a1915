"""The trials of a search that are paused by its rule, and which of them goes on next."""

from cloudtune.search.stopping.promotion import PausingRule
from cloudtune.search.stopping.rule import StoppingRule
from cloudtune.search.strategy import Observation, Strategy
from cloudtune.space.space import Values


class Paused:
    """Holds the paused trials of one search.

    A strategy compares losses alone, and learns of a trial once: when it is first compared with others, so that losses of
    the same step are compared, in the order of the reports, which is the same after a resume.

    Args:
        rule: of the search; without one that pauses, no trial ever is.
        strategy: of the search.

    Attributes:
        trials: their parameters by number.
    """

    def __init__(self, rule: StoppingRule | None, strategy: Strategy) -> None:
        self._rule = rule if isinstance(rule, PausingRule) else None
        self._strategy = strategy
        self.trials: dict[int, Values] = {}
        if self._rule is not None:
            self._rule.paused = self.trials.keys()
        self._told: set[int] = set()
        self._next: dict[bool, int | None] = {}  # by `last`, until something changes

    @property
    def possible(self) -> bool:
        """Whether the rule pauses trials."""
        return self._rule is not None

    def next(self, *, last: bool) -> int | None:
        """Return the trial that goes on next; None for none. See `PausingRule.promoted`."""
        if self._rule is None or not self.trials:
            return None
        if last not in self._next:
            self._next[last] = self._rule.promoted(self.trials, last=last)
        return self._next[last]

    def add(self, number: int, values: Values) -> None:
        """Pause a trial."""
        self.trials[number] = values
        self.changed()

    def take(self, number: int) -> Values:
        """Return the parameters of a trial that goes on, or ends."""
        self.changed()
        return self.trials.pop(number)

    def changed(self) -> None:
        """Take in that the rule has learnt something."""
        self._next.clear()

    def learns(self, number: int) -> bool:
        """Take in a report that the rule has judged; return whether its trial is compared by it for the first time."""
        self.changed()
        return self._rule is not None and number not in self._told and self._rule.reached(number)

    def teach(self, so_far: Observation) -> None:
        """Have the strategy learn by the report by which a trial `learns`.

        Args:
            so_far: the trial, as if it had ended with this report.
        """
        self._told.add(so_far.number)
        self._strategy.observe(so_far)

    def told(self, number: int) -> bool:
        """Return whether the strategy has learnt of a trial already."""
        return number in self._told
