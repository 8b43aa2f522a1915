"""Searches by Vizier's strategy, and what the studies in its emulator have of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.search import Purpose, Search
from cloudtune.spec.job import TuningJob

if TYPE_CHECKING:
    from cloudtune_vertex.client import Google

X = {"type": "float", "low": 0, "high": 1}
RANDOM = {"type": "vizier", "algorithm": "random"}


def job_of(**fields: Any) -> TuningJob:
    data = {
        "name": "j",
        "trial": {"command": "true"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": X},
        "strategy": RANDOM,
        "limits": {"trials": 6, "parallel": 2, "failed": 99},
        **fields,
    }
    return TuningJob.from_data(data)


def begun(job: TuningJob, run: str, said: list[str] | None = None, folder: Path | None = None) -> Search:
    """Return the search of a run, as its driver has it."""
    announce = [].append if said is None else said.append
    purpose = Purpose(job.objective, job.constraints, run, folder, announce)
    return Search.for_job(job, purpose=purpose)


def google_of(job: TuningJob) -> Google:
    from cloudtune_vertex.client import Google
    from cloudtune_vertex.vizier.places import settings_of

    return Google(settings_of(job.strategy))


def study_of(job: TuningJob, run: str) -> Any:
    google = google_of(job)
    request = {"parent": google.parent, "display_name": f"cloudtune-{run}"}
    return google.vizier.lookup_study(request)


def trials_of(job: TuningJob, run: str) -> list[Any]:
    return list(google_of(job).vizier.list_trials(parent=study_of(job, run).name))


def final(trial: Any) -> dict[str, float]:
    return {each.metric_id: each.value for each in trial.final_measurement.metrics}


def parameters(trial: Any) -> dict[str, Any]:
    return {each.parameter_id: each.value for each in trial.parameters}
