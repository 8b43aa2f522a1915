"""How the answer of a search is confirmed: the best candidates are run again with other seeds."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator

from cloudtune.space.parameters import Count, SpecModel


class Confirm(SpecModel):
    """Runs the top candidates again at the end of a run, so that the best is not the one that was lucky.

    `limits.trials` counts the search's trials and `repeats` × `top` repetitions: those of the candidates. So 12 trials with 2
    repetitions of 3 candidates are 6 of the search and 6 repetitions, and 3 more (``cloudtune resume --trials +3``) are 3 more of
    the search: 9 and 6. Candidates keep the repetitions that they have. Those of a trial that is no candidate any more do not
    count, so that all trials of the run are more than `limits.trials` by so many. `limits.time` and `limits.cost` count all.
    """

    repeats: Count
    """How often each candidate is run again, each time with another seed."""
    top: Count = 3
    """How many of the best trials are candidates."""

    @property
    def trials(self) -> int:
        """The number of all repetitions, at most."""
        return self.repeats * self.top


def _spelled_out(value: object) -> object:
    return value if value is None or isinstance(value, Mapping | Confirm) else {"repeats": value}


ConfirmField = Annotated[Confirm | None, BeforeValidator(_spelled_out)]
"""The field of a job, which also takes the number of repetitions alone."""
