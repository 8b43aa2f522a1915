"""What a task of Airflow returns of a run, as plain data for its XCom."""

from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowException

from cloudtune import api
from cloudtune.store.records import RunState


def result_of(run_id: str, project: str) -> dict[str, Any]:
    """Return what a completed run came to: its best trial's parameters and metrics, the number of trials, what was spent.

    Raises:
        AirflowException: the run did not complete; says why.
    """
    run = api.attach(run_id, project=Path(project))
    record = run.record
    if record.state is not RunState.COMPLETED:
        why = f": {record.reason}" if record.reason else ""
        raise AirflowException(f"the run {record.id} is {record.state.value}{why}")
    best, cost = run.best, run.cost
    return {
        "run": record.id,
        "project": str(run.project),
        "state": record.state.value,
        "counts": dict(run.counts()),
        "best": None if best is None else {"parameters": dict(best.parameters), "metrics": dict(best.metrics)},
        "front": [{"parameters": dict(each.parameters), "metrics": dict(each.metrics)} for each in run.front]
        if len(run.job.objective) > 1
        else None,
        "cost": None if cost is None else cost.to_data(),
    }
