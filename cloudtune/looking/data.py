"""Runs and trials as plain data and texts, the same in the commands' output and on the live page."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from cloudtune.results.constraints import is_feasible, nothing_feasible, reason_of

if TYPE_CHECKING:
    from cloudtune.results.confirmation import Confirmed
    from cloudtune.run import Run
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.records import RunRecord, Trial


def moment(seconds: float | None) -> str:
    """Return seconds since 1970 as date and time in the machine's time zone; "" for None."""
    return "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def trial_data(trial: "Trial", record: "RunRecord", job: "TuningJob") -> dict[str, Any]:
    """Return a trial of a run as plain data; with constraints, whether it is feasible."""
    constraints = job.constraints
    part = trial.place.partition(":")[0]  # the profile, for a run on several profiles
    return {
        "number": trial.number, "state": trial.state.value, "parameters": dict(trial.parameters), "metrics": dict(trial.metrics),
        "reason": reason_of(constraints, trial), **({"feasible": is_feasible(constraints, trial)} if constraints else {}), "attempt": trial.attempt, "started": trial.started, "ended": trial.ended,
        "duration": trial.duration, "origin": trial.origin, "place": trial.place, "cost": None if trial.cost is None else str(trial.cost),
        "charges": [{**asdict(each), "amount": None if each.amount is None else str(each.amount)} for each in trial.charges],
        "emulated": record.provider in record.emulators or part in record.emulators, "repeat_of": trial.repeat_of,
    }  # fmt: skip


def nearest_data(run: "Run") -> dict[str, Any]:
    """Return the trial of a run with constraints that violates them least, where none is feasible; empty without constraints."""
    if not run.job.constraints:
        return {}
    near = run.nearest
    return {"nearest": None if near is None else trial_data(near, run.record, run.job)}


def seen_text(record: "RunRecord", trouble: str) -> str:
    """Return the text that a run could not be refreshed, with the time of its last refresh."""
    if record.seen is None:
        return f"not seen yet, {trouble}"
    same_day = moment(record.seen)[:10] == moment(time.time())[:10]
    return f"last seen {moment(record.seen)[11:16] if same_day else moment(record.seen)[:16]}, {trouble}"


def run_data(record: "RunRecord", trouble: str = "") -> dict[str, Any]:
    """Return a run as plain data.

    Args:
        record: the run's record.
        trouble: why its service could not be asked; "" for no problem.
    """
    return {
        "id": record.id, "name": record.name, "provider": record.provider, "profile": record.profile,
        "emulated": record.emulated, "emulators": list(record.emulators), "state": record.state.value,
        "seen": record.seen, "unreachable": trouble or None,
        "reason": record.reason, "created": record.created, "started": record.started, "ended": record.ended, "elapsed": record.elapsed,
    }  # fmt: skip


class Judged(Protocol):
    """A run whose trials are judged: `cloudtune.Run`, what is read of it once, or its `Study`."""

    @property
    def job(self) -> "TuningJob":
        """The spec."""

    @property
    def contenders(self) -> "Sequence[Trial]":
        """The trials that the others follow from."""

    @property
    def best(self) -> "Trial | None":
        """The best feasible trial; None for several objectives."""

    @property
    def front(self) -> "list[Trial]":
        """The trials on the Pareto front."""

    @property
    def confirmed(self) -> "Mapping[int, Confirmed]":
        """What the repetitions of candidates say, by the candidate's number."""


def best_text(run: Judged, show: "Callable[[float | None], str]") -> str:
    """Return the best trial's objective, or the number of trials on the Pareto front; "" before there is any.

    Args:
        run: whose best it is.
        show: returns a number as text.
    """
    objectives, best = run.job.objective, run.best
    if best is not None:
        known = run.confirmed.get(best.number)
        values = best.metrics if known is None else known.means
        mean = "" if known is None else "mean "
        return ", ".join(f"{mean}{each.metric} = {show(values.get(each.metric))}" for each in objectives)
    front = run.front
    if not front and nothing_feasible(objectives, run.job.constraints, run.contenders):
        return "none feasible"
    return f"{len(front)} on the front" if len(objectives) > 1 else ""
