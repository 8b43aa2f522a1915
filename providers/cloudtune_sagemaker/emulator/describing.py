"""What the service tells of a tuning job: DescribeHyperParameterTuningJob, and a row of ListHyperParameterTuningJobs."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from cloudtune_sagemaker.emulator.answers import moment
from cloudtune_sagemaker.emulator.definitions import completed
from cloudtune_sagemaker.emulator.searching import Definition
from cloudtune_sagemaker.emulator.tuned import resources_of, static_of
from cloudtune_sagemaker.emulator.tuning import HyperParameterTuningJob


def described(tuning: HyperParameterTuningJob, lag: float = 0.0) -> dict[str, Any]:
    """Return the answer of DescribeHyperParameterTuningJob.

    Args:
        tuning: the job.
        lag: seconds that it may be out of date.
    """
    state = tuning.state(lag)
    answer: dict[str, Any] = {
        "HyperParameterTuningJobName": tuning.name,
        "HyperParameterTuningJobArn": tuning.arn,
        "HyperParameterTuningJobConfig": tuning.request["HyperParameterTuningJobConfig"],
        "HyperParameterTuningJobStatus": state.status,
        "CreationTime": moment(tuning.created),
        "LastModifiedTime": moment(state.modified),
        **_counters(tuning, lag),
        **_definitions(tuning),
        "TuningJobCompletionDetails": {"NumberOfTrainingJobsObjectiveNotImproving": tuning.without_progress(lag)},
        "ConsumedResources": {"RuntimeInSeconds": int((state.ended or time.time()) - tuning.created)},
    }
    for member in ("WarmStartConfig", "Autotune"):
        if member in tuning.request:
            answer[member] = tuning.request[member]
    if state.ended is not None:
        answer["HyperParameterTuningEndTime"] = moment(state.ended)
    if state.failure:
        answer["FailureReason"] = state.failure
    if state.converged is not None:
        answer["TuningJobCompletionDetails"]["ConvergenceDetectedTime"] = moment(state.converged)
    return {**answer, **_best(tuning, lag)}


def summarized(tuning: HyperParameterTuningJob, lag: float = 0.0) -> dict[str, Any]:
    """Return the job in the answer of ListHyperParameterTuningJobs."""
    state, config = tuning.state(lag), tuning.request["HyperParameterTuningJobConfig"]
    row = {
        "HyperParameterTuningJobName": tuning.name,
        "HyperParameterTuningJobArn": tuning.arn,
        "HyperParameterTuningJobStatus": state.status,
        "Strategy": config["Strategy"],
        "CreationTime": moment(tuning.created),
        "LastModifiedTime": moment(state.modified),
        "ResourceLimits": config["ResourceLimits"],
        **_counters(tuning, lag),
    }
    return row if state.ended is None else {**row, "HyperParameterTuningEndTime": moment(state.ended)}


def _definitions(tuning: HyperParameterTuningJob) -> dict[str, Any]:
    found = [_definition(tuning, number) for number in range(len(tuning.search.definitions))]
    return (
        {"TrainingJobDefinitions": found}
        if "TrainingJobDefinitions" in tuning.request
        else {"TrainingJobDefinition": found[0]}
    )


def _definition(tuning: HyperParameterTuningJob, number: int) -> dict[str, Any]:
    definition = tuning.search.definitions[number]
    answer = {
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": False,
        "EnableManagedSpotTraining": False,
        **definition.request,
        "AlgorithmSpecification": _algorithm(tuning, definition),
        "StaticHyperParameters": static_of(definition),
    }
    choices = (answer.get("HyperParameterTuningResourceConfig") or {}).get("InstanceConfigs") or []
    if "HyperParameterTuningResourceConfig" in answer and len(choices) <= 1:
        del answer["HyperParameterTuningResourceConfig"]  # told as a ResourceConfig, as Terraform's tests found out
        answer["ResourceConfig"] = resources_of(definition.request)
    return {**answer, **_abridged(definition.request)}


def _abridged(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return members of a definition without what the service takes and does not tell again, as Terraform's tests found out."""
    answer: dict[str, Any] = {
        "OutputDataConfig": {
            name: value
            for name, value in request["OutputDataConfig"].items()
            if (name, value) != ("CompressionType", "GZIP")
        },
        "StoppingCondition": _without(request["StoppingCondition"], "MaxPendingTimeInSeconds"),
    }
    has_groups = bool((request.get("ResourceConfig") or {}).get("InstanceGroups"))
    if request.get("InputDataConfig") and not has_groups:
        answer["InputDataConfig"] = [_channel(each) for each in request["InputDataConfig"]]
    return answer


def _channel(channel: Mapping[str, Any]) -> dict[str, Any]:
    source = channel.get("DataSource") or {}
    if "S3DataSource" not in source:
        return dict(channel)
    told = _without(source["S3DataSource"], "InstanceGroupNames")
    return {**channel, "DataSource": {**source, "S3DataSource": told}}


def _without(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in members.items() if each != name}


def _algorithm(tuning: HyperParameterTuningJob, definition: Definition) -> dict[str, Any]:
    """With the metrics, and an algorithm's ARN for its name."""
    answer = completed(definition.request["AlgorithmSpecification"], definition.metric)
    name = str(answer.get("AlgorithmName") or "")
    if name and not name.startswith("arn:"):
        answer["AlgorithmName"] = f"{tuning.arn.rpartition(':')[0]}:algorithm/{name}"
    return answer


def _counters(tuning: HyperParameterTuningJob, lag: float) -> dict[str, Any]:
    trials = list(tuning.trials)
    statuses = Counter(trial.job.state(lag).status for trial in trials)
    objectives = Counter(trial.objective_status(lag) for trial in trials)
    return {
        "TrainingJobStatusCounters": {
            "Completed": statuses["Completed"],
            "InProgress": statuses["InProgress"] + statuses["Stopping"],
            "RetryableError": 0,
            "NonRetryableError": statuses["Failed"],
            "Stopped": statuses["Stopped"],
        },
        "ObjectiveStatusCounters": {status: objectives[status] for status in ("Succeeded", "Pending", "Failed")},
    }


def _best(tuning: HyperParameterTuningJob, lag: float) -> dict[str, Any]:
    answer = {}
    best = tuning.best(lag)
    if best is not None:
        answer["BestTrainingJob"] = best.summary(lag)
    warm = tuning.request.get("WarmStartConfig")
    if warm is not None and warm["WarmStartType"] == "IdenticalDataAndAlgorithm":
        overall = tuning.best(
            lag, among=[*(trial for parent in tuning.parents for trial in parent.trials), *tuning.trials]
        )
        if overall is not None:
            answer["OverallBestTrainingJob"] = overall.summary(lag, named=True)
    return answer
