"""Have a run go on that has ended or is interrupted: with longer limits, or with trials run again.

What changes is written in one transaction after the provider has made again what the end of the run removed. Killed
before it, the run has ended as before; killed after it, the run is interrupted, and a resume goes on with it.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from cloudtune.costs.spending import Spending
from cloudtune.costs.views import run_cost
from cloudtune.driver import warm_start
from cloudtune.driver.limits import limit_reached, time_reached
from cloudtune.errors import ConfigError, RunBusy, TrialError
from cloudtune.planning.plan import Plan, covers
from cloudtune.planning.rates import Rate
from cloudtune.provider.interface import Provider
from cloudtune.results.objectives import losses
from cloudtune.results.progress import ProgressCounter
from cloudtune.search import Search
from cloudtune.spec.choice import choice_for
from cloudtune.spec.extending import Used, changes, extended
from cloudtune.spec.job import TuningJob
from cloudtune.store.commands import learning_from
from cloudtune.store.enqueued import enqueued
from cloudtune.store.records import EXTENSIONS, RUN_AGAIN, WRITTEN, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore

RETRIED = (TrialState.FAILED, TrialState.CANCELLED)
"""The states of trials without a result, which `retry` runs again."""


@dataclass
class _Change:
    """What is about to be written.

    Attributes:
        job: with its new limits.
        trials: all of them in the order of their last change, as they will be.
        changed: those of them that change.
        events: a trial's number, or None, and a message each.
        rates: of the machines, where limits change.
    """

    job: TuningJob
    trials: list[Trial]
    changed: list[Trial] = field(default_factory=list)
    events: list[tuple[int | None, str]] = field(default_factory=list)
    rates: tuple[Rate, ...] = ()


class Reopening:
    """A run that is to go on.

    Args:
        provider: of the run.
        run: the run.
        environment: the values of the trials' environment variables, which an ended run has forgotten.
    """

    def __init__(self, provider: Provider, run: RunStore, environment: Mapping[str, str] | None = None) -> None:
        self._provider = provider
        self._run = run
        self._environment = environment or {}

    def extend(
        self,
        more: Mapping[str, object],
        limits: Mapping[str, object],
        agree: Callable[[TuningJob], None] | None = None,
    ) -> list[str]:
        """Give the run longer limits; see `cloudtune.spec.extending.extended`. Return how they differ, a text each.

        Args:
            more: what comes on top of limits, by name.
            limits: other values of limits, by name.
            agree: called with the job as it will be, before anything is written; what it raises leaves the run as it was.

        Raises:
            RunBusy: it goes on.
            ConfigError: the run cannot go on, or would end at once; says why and what to do.
            SpecError: the limits are not valid.
        """

        found: list[str] = []
        self._refuse_managed(self._provider.extends)

        def change(now: _Change) -> None:
            before = now.job
            now.job = extended(before, more, limits, self._used(now.trials))
            found.extend([*changes(before.limits, now.job.limits), *_other_strategy(before, now.job)])
            now.events += [(None, f"extended: {'; '.join(found)}")] if found else []

        self._apply(change, agree)
        return found

    def retry(self, numbers: Collection[int], states: Collection[TrialState]) -> list[int]:
        """Have trials without a result run again, with the same parameters; return their numbers.

        Args:
            numbers: the trials; none for all in these states.
            states: of the trials.

        Raises:
            RunBusy: the run goes on.
            TrialError: there is no such trial, or it has a result.
            ConfigError: the run cannot go on, or would end at once; says why and what to do.
        """
        for number in numbers:
            self._run.existing(number)
        self._refuse_managed(lambda run: f"{run.record().provider}'s own tuner runs no trial again")

        def change(now: _Change) -> None:
            for trial in now.trials:
                if trial.number in numbers or (not numbers and trial.state in states):
                    now.events.append((trial.number, _again(trial)))
                    trial.state, trial.reason, trial.metrics = TrialState.WAITING, "", {}
                    trial.ended = trial.told = None
                    now.changed.append(trial)
            if not now.changed:
                raise TrialError(
                    f"no trial of {self._run.id} is {' or '.join(states)}; `{self._run.command('trials')}`"
                )

        return sorted(trial.number for trial in self._apply(change).changed)

    def _apply(self, change: Callable[[_Change], None], agree: Callable[[TuningJob], None] | None = None) -> _Change:
        with self._locked():
            record = self._run.record()
            now = _Change(TuningJob.from_data(json.loads(record.job)), self._run.history())
            before = now.job
            change(now)
            why = self._why_over(record, now)
            if why is not None:
                raise ConfigError(f"{self._run.id} would end at once: {why}")
            if now.job.limits != before.limits:
                self._plan_anew(record, now, before)
            if agree is not None:
                agree(now.job)
            if record.state.ended:
                self._provider.reopen(self._run, self._with_environment(before))
            self._write(now, before)
            return now

    @contextmanager
    def _locked(self) -> Iterator[None]:
        state = self._run.record().state
        if state in (RunState.RUNNING, RunState.STOPPING):
            why = "its limits, and trials that have ended, can change when it has ended or is interrupted"
            raise RunBusy(f"{self._run.id} is {state.value}: {why}")
        with self._run.locked():
            yield

    def _used(self, trials: Sequence[Trial]) -> Used:
        record = self._run.record()
        job = TuningJob.from_data(json.loads(record.job))
        searched, spent = sum(trial.repeat_of is None for trial in trials), run_cost(record, trials, job)
        counted = searched + (0 if job.confirm is None else job.confirm.trials)
        return Used(counted, record.elapsed, Decimal(0) if spent is None else spent.spent)

    def _with_environment(self, job: TuningJob) -> TuningJob:
        """Return the job with the values of its environment variables, which the run no longer has.

        Raises:
            ConfigError: some are not given, or the job has no such variables.
        """
        names = job.trial.environment
        missing = [name for name in names if name not in self._environment]
        unknown = [name for name in self._environment if name not in names]
        if missing:
            ways = " ".join(f"--env {name}" for name in missing)
            raise ConfigError(
                f"the values of trial.environment were forgotten when {self._run.id} ended: give {', '.join(missing)} again, "
                f"by {ways} (as this shell has them) or NAME=VALUE"
            )
        if unknown:
            raise ConfigError(f"trial.environment of {self._run.id} has no {unknown[0]!r}; it has {', '.join(names)}")
        given = {name: self._environment[name] for name in names}
        return job.model_copy(update={"trial": job.trial.model_copy(update={"environment": given})})

    def _refuse_managed(self, why_not: Callable[[RunStore], str]) -> None:
        """Raise ConfigError for a run of a service's own tuner, unless that can go on.

        Args:
            why_not: returns why it cannot; "" where it can.
        """
        run = self._run
        if json.loads(run.record().plan).get("mode") != "managed" or not (why := why_not(run)):
            return
        raise ConfigError(
            f"{run.id} cannot go on: {why}; a new run learns from its trials: `{learning_from(run.id)}` (with --set mode=driven "
            "it can be extended later)"
        )

    def _plan_anew(self, record: RunRecord, now: _Change, before: TuningJob) -> None:
        """Note what a plan says of the new limits that it did not say of the old ones, and take the prices that they need.

        Raises:
            UnsupportedError: they are refused, such as a budget in another currency than the prices, or without a price.
        """
        kept = Plan.from_data(json.loads(record.plan))
        old, new = (self._planned(each, kept) for each in (before, now.job))
        added = tuple(note for note in new.notes if covers("limits", note.path) and note not in old.notes)
        replace(new, notes=added, missing=()).refuse()
        now.rates = new.rates
        now.events = [*((None, f"{note.path}: {note.support}: {note.message}") for note in added), *now.events]

    def _planned(self, job: TuningJob, kept: Plan) -> Plan:
        """Return the plan of a job with the mode and the prices of the run's own."""
        plan = self._provider.plan(job.model_copy(update={"mode": kept.mode}))
        return self._provider.rated(replace(plan, machines=kept.machines, rates=kept.rates), job)

    # Whether it would end at once

    def _why_over(self, record: RunRecord, now: _Change) -> str | None:
        """Return why the run would end at once; None if it goes on."""
        counter = ProgressCounter(now.job.objective, now.job.constraints)
        for trial in now.trials:
            if trial.state.ended:
                failed = trial.state is TrialState.FAILED
                counter.add(trial, None if failed else losses(now.job.objective, trial.metrics))
        reached = limit_reached(now.job, counter) or time_reached(now.job, record.elapsed)
        if reached is not None:
            again = f"`{self._run.command('retry')} --failed` runs them again, "
            other = f"`{self._run.command('resume')} --set limits.NAME=VALUE` changes a limit, null takes it away"
            return f"{reached[1]}; {again if reached[0] is RunState.FAILED else ''}{other}"
        plan = Plan.from_data(json.loads(record.plan))
        spending = Spending(now.job, plan.machines, plan.rates, plan.driver)
        spending.follow(lambda: record.elapsed)
        spending.restore(now.trials)
        spent = spending.exhausted(idle=True)
        if spent is not None:
            return f"{spent}; add some: `{self._run.command('resume')} --cost +AMOUNT`"
        if plan.mode == "managed":
            return None  # what its tuner has left to suggest it says itself
        return None if any(not trial.state.ended for trial in now.trials) else self._why_exhausted(record, now)

    def _why_exhausted(self, record: RunRecord, now: _Change) -> str | None:
        search = Search.for_job(now.job, seed=int(record.native["seed"]))
        warm_start.learn(search, now.job, warm_start.kept(self._run.folder))
        searched = [trial for trial in now.trials if trial.repeat_of is None]
        for trial in sorted(searched, key=lambda each: each.number):
            search.restore(trial.number, trial.parameters, trial.origin)
        for trial in searched:
            search.tell(trial.number, trial.metrics, state=trial.state)
        if search.exhausted:
            return f"as many trials were run as limits.trials allows ({len(searched)}); add some: `{self._run.command('resume')} --trials +N`"
        if search.enqueued or enqueued(self._run) or not now.job.strategy.derivable or search.ask() is not None:
            return None  # whether a service has more to suggest it says when it is asked for the run
        return (
            f"the space has no other trials than the {len(searched)} that were run; another space is a new run, which learns from "
            f"this one: `{learning_from(self._run.id)}`"
        )

    # Writing

    def _write(self, now: _Change, before: TuningJob) -> None:
        record = self._run.record()
        columns: dict[str, object] = {"wish": ""}
        if record.state.ended:
            columns |= {"state": RunState.INTERRUPTED.value, "reason": "it was reopened", "ended": None}
        if now.job.limits != before.limits:
            columns |= _with_limits(record, now, before)
        self._run.write(trials=now.changed, events=now.events, columns=columns)


def _other_strategy(before: TuningJob, after: TuningJob) -> list[str]:
    """Return what ``strategy: auto`` chooses for a job with other limits, if that differs from before."""
    old, new = choice_for(before), choice_for(after)
    if old is None or new is None or old.strategy == new.strategy:
        return []
    return [f"strategy (auto): {old.strategy.type} → {new.strategy.type}, since {new.reason}"]


def _again(trial: Trial) -> str:
    """Return the event of a trial that is run again.

    Raises:
        TrialError: it has a result, or has not ended.
    """
    if trial.state not in RETRIED:
        same = "`cloudtune try` runs its parameters once more, as another trial"
        raise TrialError(
            f"trial {trial.number} is {trial.state.value}: only trials without a result are run again; {same}"
        )
    why = f": {trial.reason}" if trial.reason else ""
    return f"{RUN_AGAIN} (it was {trial.state.value}{why})"


def _with_limits(record: RunRecord, now: _Change, before: TuningJob) -> dict[str, object]:
    """Return the columns of a run with new limits: in its job, as it runs, as it was written, and in each profile's own."""
    limits = now.job.to_data(portable=True).get("limits", {})
    native = dict(record.native)
    for key in [key for key in native if key == WRITTEN or key.startswith("job:")]:
        native[key] = json.dumps({**json.loads(native[key]), "limits": limits})
    told = json.loads(native.get(EXTENSIONS, "[]"))
    entry = {"time": time.time(), "trials": len(now.trials), "before": before.to_data(portable=True).get("limits", {})}
    native[EXTENSIONS] = json.dumps([*told, entry])
    plan = _planned_with(json.loads(record.plan), now.job.model_dump(mode="json")["limits"])
    if not plan["rates"]:  # nothing had needed a price
        plan["rates"] = [rate.to_data() for rate in now.rates]
    return {"job": json.dumps({**json.loads(record.job), "limits": limits}), "plan": json.dumps(plan), "native": native}


def _planned_with(plan: dict[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a plan, or of one for several profiles, with other limits where its request has them."""
    request = {
        name: limits if name == "limits" else _planned_with(part, limits) if _is_plan(part) else part
        for name, part in plan["request"].items()
    }
    return {**plan, "request": request}


def _is_plan(part: object) -> bool:
    return isinstance(part, dict) and {"provider", "mode", "request"} <= part.keys()
