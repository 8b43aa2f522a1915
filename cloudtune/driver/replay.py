"""Derive every suggestion of a stored run anew, and compare it with the trial that was run.

A suggestion is a function of the seed, the trial's number, and what was observed and pending at its moment. The store has the
order of these (`cloudtune.driver.course`), so that the suggestions of parallel and of resumed runs are derived exactly, too.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cloudtune.driver import warm_start
from cloudtune.driver.course import Move, course, first_gap
from cloudtune.driver.made_by import MADE_BY, versions
from cloudtune.driver.taken import cost_of
from cloudtune.errors import ConfigError
from cloudtune.search import Search
from cloudtune.search.followed import FollowedSearch
from cloudtune.search.known_trials import KnownTrial
from cloudtune.space.space import Values
from cloudtune.spec.job import Limits, TuningJob
from cloudtune.store.records import EXTENSIONS, RUN_AGAIN, TRIED, RunRecord
from cloudtune.store.store import RunStore

_UNORDERED = "the store has not the order in which the search was told: the order of the times was taken"

_LOST = "drivers were killed and followed by others, and what the search was told in between is not all kept"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A trial and its suggestion.

    Attributes:
        number: of the trial.
        same: whether the suggestion is the trial that was run.
        stored: the trial's parameters.
        suggested: those that are suggested now; None where nothing is.
        note: "" or what is special about it: that a user chose it.
        derivable: whether the store has the order of all that the search was asked and told before it; where it has not,
            another suggestion is no difference.
    """

    number: int
    same: bool
    stored: Values
    suggested: Values | None
    note: str = ""
    derivable: bool = True

    @property
    def differs(self) -> bool:
        """Whether the search suggests something else at the same place of the same order."""
        return self.derivable and not self.same

    @property
    def difference(self) -> str:
        """The parameters that differ, as text; "" for none."""
        if self.same:
            return ""
        if self.suggested is None:
            return "nothing is left to suggest"
        names = dict.fromkeys([*self.stored, *self.suggested])
        pairs = ((name, self.stored.get(name, _NONE), self.suggested.get(name, _NONE)) for name in names)
        return ", ".join(f"{name} was {one!r}, is {other!r}" for name, one, other in pairs if one != other)


class _Nothing:
    def __repr__(self) -> str:
        return "not there"


_NONE = _Nothing()


@dataclass(frozen=True, slots=True)
class Replay:
    """The suggestions of a run, derived anew.

    Attributes:
        run_id: of the run.
        trials: one for each trial of the search, in the order of the suggestions.
        exact: whether the store has the order of all that the search was asked and told.
        reasons: why suggestions may differ; empty where all are the same.
    """

    run_id: str
    trials: tuple[Replayed, ...]
    exact: bool
    reasons: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every suggestion is the trial that was run."""
        return all(each.same for each in self.trials)

    @property
    def first_difference(self) -> Replayed | None:
        """The first trial that differs; None without any."""
        return next((each for each in self.trials if each.differs), None)

    @property
    def underivable(self) -> tuple[int, ...]:
        """The trials of which another suggestion comes of an order that the store has not."""
        return tuple(each.number for each in self.trials if not each.same and not each.derivable)

    def to_data(self) -> dict[str, object]:
        """Return it as plain data for JSON."""
        return {
            "run": self.run_id,
            "same": self.same,
            "exact": self.exact,
            "differing": [each.number for each in self.trials if each.differs],
            "underivable": list(self.underivable),
            "reasons": list(self.reasons),
            "trials": [
                {"number": each.number, "same": each.same, "stored": each.stored, "suggested": each.suggested, "note": each.note}
                for each in self.trials
            ],
        }  # fmt: skip


def replay(run: RunStore, mode: str) -> Replay:
    """Return the suggestions of a run, derived anew.

    Args:
        run: the run; it may still go on.
        mode: of its plan.

    Raises:
        ConfigError: a service suggested its trials.
        SpecError: its strategy needs a package that is not installed.
    """
    if mode != "driven":
        raise ConfigError(f"the service's own tuner suggested the trials of {run.id}: they cannot be derived anew here")
    record = run.record()
    job = TuningJob.from_data(json.loads(record.job))
    if not job.strategy.derivable:
        message = f"the {job.strategy.type} strategy asks a service: the suggestions of {run.id} cannot be derived anew"
        raise ConfigError(message)
    known = warm_start.kept(run.folder)
    moves, gap = course(run.history(), run.reports()), _gap(run, job)
    ordered = all(move.known for move in moves)
    exact = ordered and gap is None
    until = (math.inf if gap is None else gap) if ordered else 0
    found = _followed(_Stages(record, job, known), moves if ordered else _by_time(moves), until)
    same = all(each.same for each in found)
    reasons = () if same else (*_reasons(record, job, until=until, known=bool(known)), *_run_again(run))
    return Replay(run.id, tuple(found), exact, reasons)


def _gap(run: RunStore, job: TuningJob) -> int | None:
    """Return from which moment on the store lacks reports that suggestions depend on; None where it lacks none.

    A strategy learns by reports where trials pause; by their ends alone elsewhere.
    """
    return first_gap(run.history(), run.reports()) if Search.for_job(job, seed=0).pauses else None


class _Stages:
    """The searches of a run, one for each of its limits: an extended run goes on as a search that knows of more trials.

    Args:
        record: of the run.
        job: with its last limits.
        known: trials of earlier runs.
    """

    def __init__(self, record: RunRecord, job: TuningJob, known: Sequence[KnownTrial]) -> None:
        told = json.loads(record.native.get(EXTENSIONS, "[]"))
        earlier = [(each["trials"], Limits.model_validate(each["before"])) for each in told]
        self._jobs = [(until, job.model_copy(update={"limits": limits})) for until, limits in earlier] + [
            (math.inf, job)
        ]
        self.job = job
        self._seed, self._known = int(record.native["seed"]), known

    def search(self, number: int, before: Sequence[Move], current: FollowedSearch | None) -> FollowedSearch:
        """Return the search that suggests a trial: the current one, or the first or next, which has gone the same way.

        Args:
            number: of the trial.
            before: all moves until then.
            current: the search so far; None at the beginning.
        """
        if current is not None and number < self._jobs[0][0]:
            return current
        while number >= self._jobs[0][0]:
            self._jobs.pop(0)
        search = FollowedSearch.for_job(self._jobs[0][1], seed=self._seed)
        if self._known:
            warm_start.learn(search, self._jobs[0][1], self._known)
        for move in before:
            if move.kind == "ask":
                search.restore(move.trial.number, move.trial.parameters, move.trial.origin)
            else:
                _take(search, move, self.job)
        return search


def _followed(stages: _Stages, moves: Sequence[Move], until: float) -> list[Replayed]:
    """Return the suggestions along a course.

    Args:
        stages: the searches.
        moves: the course.
        until: the moment from which on the course is not whole.
    """
    found: list[Replayed] = []
    search: FollowedSearch | None = None
    for place, move in enumerate(moves):
        trial = move.trial
        if move.kind == "ask":
            search = stages.search(trial.number, moves[:place], search)
            suggestion = search.follow(trial.number, trial.parameters, trial.origin)
            suggested = None if suggestion is None else suggestion.parameters
            note = "chosen by a user" if trial.origin == TRIED else ""
            same, derivable = suggested == trial.parameters, (trial.asked or 0) < until
            found.append(Replayed(trial.number, same, trial.parameters, suggested, note, derivable))
        elif search is not None:
            _take(search, move, stages.job)
    return found


def _take(search: FollowedSearch, move: Move, job: TuningJob) -> None:
    """Pass a report, or the end of a trial, to a search."""
    trial = move.trial
    if move.report is None:
        search.tell(trial.number, trial.metrics, state=trial.state, cost=cost_of(job, trial))
    else:
        search.take_report(trial.number, move.report.step, move.report.metrics)


def _run_again(run: RunStore) -> Iterator[str]:
    """Yield a reason for the trials that a user has had run again: how they had ended before is not kept."""
    again = sorted({number for _, number, said in run.events() if number is not None and said.startswith(RUN_AGAIN)})
    if again:
        which = ", ".join(map(str, again))
        yield f"run again for their user: {which}; what the search knew of them before is not kept"


def _by_time(moves: Sequence[Move]) -> list[Move]:
    """Return moves in the order of their times, as well as it is known: a trial that was tried again has its last start alone.

    Trials are asked in the order of their numbers, and nothing of a trial comes before it was asked. A trial that ended at the
    moment of another's start made room for it.
    """
    asked: dict[int, float] = {}
    latest = 0.0
    for move in sorted((move for move in moves if move.kind == "ask"), key=lambda move: move.trial.number):
        latest = asked[move.trial.number] = max(latest, move.trial.started or latest)

    def key(move: Move) -> tuple[float, int, int]:
        start = asked[move.trial.number]
        if move.kind == "ask":
            return start, 1, move.trial.number
        moment = move.trial.ended if move.report is None else move.report.time
        rank = 2 if move.report is not None else 3
        return max(moment or 0.0, start), 0 if (moment or 0.0) > start and rank == 3 else rank, move.trial.number

    return sorted(moves, key=key)


def _reasons(record: RunRecord, job: TuningJob, *, until: float, known: bool) -> list[str]:
    """Return why suggestions may differ, the likeliest first."""
    then, now = _made_by(record), versions()
    found = [
        f"{name} was {then.get(name, 'not there')}, and is {now.get(name, 'not there')} here"
        for name in dict.fromkeys([*then, *now])
        if then and then.get(name) != now.get(name)
    ]
    if not then:
        found.append("an earlier version of cloudtune made the run, and may have suggested otherwise")
    if until < math.inf:
        found.append(_UNORDERED if until == 0 else _LOST)
    if job.warm_start is not None and not known:
        found.append("the trials of its warm start are gone from the run's folder")
    if not type(job.strategy).__module__.startswith("cloudtune."):
        found.append(f"the strategy {job.strategy.type!r} is another package's, whose suggestions may depend on more")
    return found or [
        "the same versions and the same order give another trial here: the strategy depends on something else"
    ]


def _made_by(record: RunRecord) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(record.native.get(MADE_BY, "{}"))
    return found
