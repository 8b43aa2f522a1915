"""The end of a run whose job says ``confirm``: its top candidates are run again with other seeds.

Repetitions are trials of the run with numbers of their own, and so with seeds of their own. They are written all at once, so
that a killed driver leaves all of them or none; they are launched, retried, charged and resumed like any other trial, but
neither pruned nor taught to the search. Of ``limits.time`` and ``limits.cost`` the search leaves as much as they will take.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from cloudtune.costs.spending import Spending
from cloudtune.driver.clock import Clock
from cloudtune.results.candidates import candidates
from cloudtune.results.confirmation import confirmed, said, settled
from cloudtune.results.constraints import nothing_feasible
from cloudtune.results.objectives import best_trial
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial, TrialState
from cloudtune.store.store import RunStore

LITTLE_LEFT = "what is left of limits.time or limits.cost is for the repetitions (confirm)"
"""Why a search ends before its last trial, so that its candidates can still be repeated."""

_MARGIN = 1.1
"""How much longer than the longest trial so far a repetition may take, for the time that is left to it."""


class Confirming:
    """Decides which trials are repeated, and when the search has to leave room for that.

    Args:
        job: the spec.
        spending: of the run.
        clock: of the run.

    Attributes:
        closed: why the search is over before its last trial; "" as long as it is not.
    """

    def __init__(self, job: TuningJob, spending: Spending, clock: Clock) -> None:
        self._job = job
        self._spending = spending
        self._clock = clock
        self._longest = 0.0
        self._done = job.confirm is None
        self._total: int | None = None  # as soon as it is known
        self._before: tuple[int, dict[int, bool]] = (0, {})
        self.closed = ""

    def restore(self, history: Sequence[Trial]) -> None:
        """Take in the trials of an earlier driver, of which some may be repetitions."""
        self._before = len(history), {each.number: each.state.ended for each in history if each.repeat_of is not None}

    def ended(self, trial: Trial) -> None:
        """Take notice of how long a trial took."""
        if trial.state is TrialState.COMPLETED:
            self._longest = max(self._longest, trial.duration or 0.0)

    def leaves_room(self, waiting: Sequence[Trial] | deque[Trial] = ()) -> bool:
        """Return whether the next trial may start, and the candidates can still be repeated after it.

        Args:
            waiting: the trials that come before another of the search; a repetition may always start.
        """
        if self._job.confirm is None or (waiting and waiting[0].repeat_of is not None):
            return True
        count, limits = self._job.confirm.trials, self._job.limits
        rounds = 1 + math.ceil(count / limits.parallel)
        late = (
            limits.time is not None
            and self._clock.elapsed() + rounds * _MARGIN * self._longest > limits.time.total_seconds()
        )
        return not late and self._spending.may_start(count)

    def total(self, searched: int | None) -> int | None:
        """Return how many trials the run will have; None where that is not known.

        Args:
            searched: the number of trials of its search; None where that is not known.
        """
        return expected(self._job, searched, *self._before) if self._total is None else self._total

    def close(self, why: str) -> bool:
        """Note why the search is over before its last trial; return whether that is news."""
        news, self.closed = not self.closed, self.closed or why
        return news

    def repetitions(self, run: RunStore) -> list[Trial]:
        """Return the trials that repeat the candidates of a run whose search is over; none the second time.

        Args:
            run: what happened in it is in the store. Candidates that an earlier driver has repeated get what they lack.
        """
        if self._job.confirm is None or self._done:
            return []
        self._done = True
        trials = run.trials()
        last = max((trial.number for trial in trials), default=-1)
        found: list[Trial] = []
        for candidate in candidates(self._job, trials, self._job.confirm.top):
            for _ in range(self._job.confirm.repeats - _repeated(candidate, trials)):
                found.append(Trial(last + 1 + len(found), dict(candidate.parameters), repeat_of=candidate.number))
        self._total = len(trials) + len(found)
        return found


def expected(job: TuningJob, searched: int | None, started: int, repetitions: Mapping[int, bool]) -> int | None:
    """Return how many trials a run will have; None where that is not known.

    Repetitions are written all at once when the search is over. Before, as many are expected as `limits.trials` counts, or more
    where an earlier confirmation has left more.

    Args:
        job: the spec.
        searched: the number of trials of its search; None where that is not known.
        started: the number of trials that there are.
        repetitions: those of them that are repetitions, and whether each has ended, by number.
    """
    if searched is None or job.confirm is None:
        return searched
    if not all(repetitions.values()) and started - len(repetitions) >= searched:
        return started
    return searched + max(job.confirm.trials, len(repetitions))


def _repeated(candidate: Trial, trials: Iterable[Trial]) -> int:
    """Return how many repetitions of a trial there are that were not cancelled."""
    mine = [trial for trial in trials if trial.repeat_of == candidate.number]
    return sum(trial.state is not TrialState.CANCELLED for trial in mine)


def announced(repetitions: Sequence[Trial]) -> str:
    """Return the event that says what is repeated."""
    of = list(dict.fromkeys(trial.repeat_of for trial in repetitions))
    which = ", ".join(str(number) for number in of)
    one = len(of) == 1
    return (
        f"confirming {'trial' if one else 'trials'} {which}: {len(repetitions)} repetition{'s' if len(repetitions) != 1 else ''} "
        f"with other seeds; the best will be the one with the best mean"
    )


def judgement(job: TuningJob, trials: Sequence[Trial]) -> tuple[Trial | None, str]:
    """Return the best trial at the end of a run, and the event that says what its repetitions came to."""
    best, known = best_trial(job.objective, job.constraints, trials), settled(trials)
    if not known:
        none = "no candidate was repeated" if not confirmed(trials) else "not all repetitions came to their end"
        return best, f"not confirmed: {none}; the best is the one with the best single value"
    metrics = [each.metric for each in job.objective]
    if best is None and len(metrics) == 1:
        return best, f"confirmed: nothing feasible: {nothing_feasible(job.objective, job.constraints, trials)}"
    if best is None:
        return best, f"confirmed: {len(known)} trials of the front have the means of their repetitions"
    before = candidates(job, trials, 1)[0]
    kept = "as before" if before.number == best.number else f"before, trial {before.number} was"
    return (
        best,
        f"confirmed: the best is trial {best.number}, {metrics[0]} {said(known[best.number], metrics[0])}; {kept}",
    )
