"""How long trials of a program took before, from the runs of a project."""

import json
from collections.abc import Sequence

from cloudtune.planning.plan import Plan
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunRecord, TrialState
from cloudtune.store.store import Store

_ENOUGH = 3
"""How many trials of a run have to have ended well for it to say anything."""

_RUNS = 50
"""How many of the newest runs are looked at."""


def earlier_durations(store: Store, job: TuningJob, plan: Plan) -> tuple[Sequence[float], str]:
    """Return how long trials of the same program took on the same machines, in seconds, and which run they are of.

    They are those of the newest run with some; nothing and "" where there is none.

    Args:
        store: of the project.
        job: the spec.
        plan: of the job, which says the machines.
    """
    program = job.trial.model_dump(mode="json")
    for record in store.records()[:_RUNS]:
        if record.provider != plan.provider or not _same(record, program, plan):
            continue
        ended = store.run(record.id).trials(TrialState.COMPLETED)
        took = [trial.duration for trial in ended if trial.duration is not None]
        if len(took) >= _ENOUGH:
            return took, f"run {record.id}"
    return (), ""


def _same(record: RunRecord, program: object, plan: Plan) -> bool:
    """Return whether a run has a program, and the machines of a plan."""
    before = TuningJob.from_data(json.loads(record.job))
    machines = Plan.from_data(json.loads(record.plan)).machines
    return before.trial.model_dump(mode="json") == program and machines == plan.machines
