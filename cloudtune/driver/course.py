"""The course of a search: what it was asked and told, in that order, as a run's trials and reports keep it.

A suggestion depends on what was observed and pending at its moment. So every ask, report and tell of a driver gets the next
number of one count (`Trial.asked`, `Report.moment`, `Trial.told`), which is stored with what it belongs to. A resumed driver
goes through the course again, and a replay derives every suggestion by it.
"""

from collections import deque
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


class Moments:
    """Numbers what a search is asked and told, in that order.

    A report that comes a second time, from an attempt that another driver launched, keeps its first number: the search has
    been told of it by then, and has suggested trials since.

    Args:
        moves: the course so far, from which the count goes on.

    Attributes:
        upcoming: the next number.
    """

    def __init__(self, moves: Sequence[Move] = ()) -> None:
        last = max((moment for move in moves for moment in _moments(move)), default=0)
        self.upcoming = last + 1
        self._first: dict[tuple[int, int, int], deque[int]] = {}
        for move in moves:
            if move.report is not None and move.report.moment and not move.trial.state.ended:
                self._first.setdefault(_key(move.report), deque()).append(move.report.moment)

    def __next__(self) -> int:
        self.upcoming += 1
        return self.upcoming - 1

    def take(self, asked: int) -> int:
        """Return the number of a suggestion that came now, and was asked for when a number was `upcoming`.

        What was told meanwhile has that number as well, and comes after the question in the course.
        """
        self.upcoming = max(self.upcoming, asked + 1)
        return asked

    def of(self, report: Report) -> int:
        """Return the number of a report: its first one, or else the next."""
        first = self._first.get(_key(report))
        return first.popleft() if first else next(self)


def _key(report: Report) -> tuple[int, int, int]:
    return report.number, report.attempt, report.step


def first_gap(trials: Iterable[Trial], reports: Iterable[Report]) -> int | None:
    """Return the first number that belongs to nothing in the store, so that the course is not whole from there on.

    That is so where a driver took over running trials, and was killed before their earlier reports came a second time.

    Args:
        trials: all of the run, repetitions as well.
        reports: all of the run.

    Returns:
        None for a course that is whole.
    """
    numbers = {moment for trial in trials for moment in (trial.asked, trial.told) if moment}
    numbers |= {report.moment for report in reports}
    return next((moment for moment in range(1, max(numbers, default=0)) if moment not in numbers), None)


def _asked(trial: Trial) -> Move:
    return Move("ask", trial, known=trial.asked is not None)


def _moments(move: Move) -> Iterator[int]:
    yield move.trial.asked or 0
    yield move.trial.told or 0
    if move.report is not None:
        yield move.report.moment
