"""Pass the trials that users enqueue for a run, perhaps from other processes, to its search."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudtune.search import Search, Suggestion
from cloudtune.store.enqueued import Enqueued, enqueued, shown
from cloudtune.store.records import TRIED, RunState
from cloudtune.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore


class Intake:
    """Reads the enqueued trials of a run from the store, which has each until the trial itself is written.

    Args:
        run: whose lock the caller holds.
        search: gets their values, in their order.
        work: writes that they are taken up, together with the trials.
        say: adds an event of a trial, or of the run (None).
    """

    def __init__(
        self, run: "RunStore", search: Search, work: UnitOfWork, say: Callable[[int | None, str], None]
    ) -> None:
        self._run = run
        self._search = search
        self._work = work
        self._say = say
        self._passed: deque[Enqueued] = deque()
        self._last = 0

    def read(self) -> None:
        """Pass the trials on that were enqueued since the last call."""
        for each in enqueued(self._run):
            if each.id <= self._last:
                continue
            self._last = each.id
            try:
                self._search.enqueue(each.parameters)
            except ValueError as error:
                self._work.take(each.id)
                self._say(None, f"a trial that was enqueued ({shown(each.parameters)}) cannot be run: {error}")
            else:
                self._passed.append(each)

    def suggested(self, suggestion: Suggestion) -> None:
        """Take up the trial of which a suggestion was made, if it is one of a user's."""
        if suggestion.origin == TRIED:
            each = self._passed.popleft()
            self._work.take(each.id)
            self._say(suggestion.number, f"is the trial that was enqueued with {shown(each.parameters)}")

    def note_left(self, state: RunState) -> None:
        """Add an event about the trials that are still enqueued, if the run has ended."""
        left = len(enqueued(self._run)) if state.ended else 0
        if left:
            which = "the trial that is" if left == 1 else f"the {left} trials that are"
            hint = f"`cloudtune resume {self._run.id} --trials +{left}` runs {which} still enqueued"
            self._run.write(events=[(None, hint)])
