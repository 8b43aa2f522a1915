"""Experiments that go on after their end, with more trials."""

from collections.abc import Mapping
from typing import Any

from cloudtune.planning.plain_data import mapping
from cloudtune.spec.job import TuningJob
from cloudtune_kubernetes.feed import Object
from cloudtune_kubernetes.katib.experiment import counts_of
from cloudtune_kubernetes.katib.trials import condition_of

RESTARTS = ("LongRunning", "FromVolume")
"""Values of resumePolicy with which an Experiment that has had all of its trials can have more."""


def policy_of(request: Mapping[str, Any]) -> str:
    """Return the resumePolicy of an Experiment."""
    return str(mapping(request.get("spec")).get("resumePolicy") or "Never")


def extension(experiment: Object, job: TuningJob) -> dict[str, int | None]:
    """Return the counts by which an Experiment that has ended has all the trials of a job; {} where it has them, or cannot.

    Katib lets one go on that has ended by its number of trials, and changes nothing but counts
    (pkg/webhook/v1beta1/experiment/validator/validator.go of kubeflow/katib).

    Args:
        experiment: as it is.
        job: with the limits that count.
    """
    wanted, had = counts_of(job), int(mapping(experiment.get("status")).get("trials") or 0)
    reached = condition_of(experiment, "Succeeded").get("reason") == "ExperimentMaxTrialsReached"
    if not reached or policy_of(experiment) not in RESTARTS or wanted.get("maxTrialCount", 0) <= had:
        return {}
    return {"maxFailedTrialCount": None, **wanted}
