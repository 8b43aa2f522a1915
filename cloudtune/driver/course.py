"""The course of a search: what it was asked and told, in that order, as a run's trials and reports keep it.

A suggestion depends on what was observed and pending at its moment. So every ask, report and tell of a driver gets the next
number of one count (`Trial.asked`, `Report.moment`, `Trial.told`), which is stored with what it belongs to. A resumed driver
goes through the course again, and a replay derives every suggestion by it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cloudtune.store.records import Report, Trial


@dataclass(frozen=True, slots=True)
class Move:
    """One call of a search.

    Attributes:
        kind: ``ask`` a trial, take in its ``report``, or ``tell`` how it ended.
        trial: that was suggested, or has ended, or that reported.
        report: of a ``report``.
        known: whether its place in the order was stored; False in runs of earlier versions.
    """

    kind: Literal["ask", "report", "tell"]
    trial: Trial
    report: Report | None = None
    known: bool = True


def course(history: Iterable[Trial], reports: Iterable[Report]) -> list[Move]:
    """Return the moves of a search in their order.

    Where moments were not stored (by earlier versions), all trials come before all reports, and these before all ends: the
    order in which such a run was resumed. Trials that ended without the search being told, since their driver broke, come last.
    Repetitions are no part of a search.

    Args:
        history: the run's trials, ended ones in the order in which they ended.
        reports: in the order in which they came.
    """
    ended = [trial for trial in history if trial.repeat_of is None]
    trials = {trial.number: trial for trial in ended}
    keyed = [((trial.asked or 0, 0, number), _asked(trial)) for number, trial in sorted(trials.items())]
    for place, report in enumerate(reports):
        if report.number in trials:
            move = Move("report", trials[report.number], report, known=report.moment > 0)
            keyed.append(((report.moment, 1, place), move))
    last = 1 + max((key[0] for key, _ in keyed), default=0) + max((trial.told or 0 for trial in ended), default=0)
    for place, trial in enumerate(ended):
        if trial.state.ended:
            untold = 0 if trial.asked is None else last
            keyed.append(((trial.told or untold, 2, place), Move("tell", trial, known=trial.told is not None)))
    return [move for _, move in sorted(keyed, key=lambda pair: pair[0])]


def last_moment(moves: Sequence[Move]) -> int:
    """Return the highest number of a course; 0 for none."""
    return max((moment for move in moves for moment in _moments(move)), default=0)


def _asked(trial: Trial) -> Move:
    return Move("ask", trial, known=trial.asked is not None)


def _moments(move: Move) -> Iterator[int]:
    yield move.trial.asked or 0
    yield move.trial.told or 0
    if move.report is not None:
        yield move.report.moment
