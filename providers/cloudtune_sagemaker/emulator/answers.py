"""What the service tells of a training job: DescribeTrainingJob, and a row of ListTrainingJobs.

The members that the service fills in are those of recorded answers (tests/recorded/sagemaker.json names them).
"""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudtune_sagemaker.emulator.jobs import TrainingJob, TrainingState

_ECHOED = (
    "HyperParameters", "RoleArn", "InputDataConfig", "VpcConfig", "CheckpointConfig", "DebugHookConfig",
    "ExperimentConfig", "TensorBoardOutputConfig", "ProfilerConfig", "Environment", "RetryStrategy",
    "RemoteDebugConfig", "InfraCheckConfig", "ServerlessJobConfig", "MlflowConfig", "ModelPackageConfig",
)  # fmt: skip
"""Members of CreateTrainingJob that DescribeTrainingJob gives back as they came."""

_RULES = {
    "DebugRuleConfigurations": "DebugRuleEvaluationStatuses",
    "ProfilerRuleConfigurations": "ProfilerRuleEvaluationStatuses",
}
"""Members with the rules of Debugger, and those that tell how far they are."""


def moment(seconds: float) -> datetime:
    """Return a time since 1970 as the service answers with it, to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


def described(job: "TrainingJob", lag: float) -> dict[str, Any]:
    """Return the answer of DescribeTrainingJob.

    Args:
        job: the training job.
        lag: seconds that the answer may be out of date.
    """
    state, request = job.state(lag), job.request
    answer: dict[str, Any] = {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "TrainingJobStatus": state.status,
        "SecondaryStatus": state.secondary,
        **{name: request[name] for name in _ECHOED if name in request},
        **_filled_in(request),
        "CreationTime": moment(job.created),
        "LastModifiedTime": moment(state.modified),
        "SecondaryStatusTransitions": [_transition(*each) for each in state.transitions],
        **_rules(request, state),
        **_progress(state),
    }
    if job.tuning_arn:
        answer["TuningJobArn"] = job.tuning_arn
    if pool := job.warm_pool(lag):
        answer["WarmPoolStatus"] = pool
    return answer


def summarized(job: "TrainingJob", lag: float) -> dict[str, Any]:
    """Return the job in the answer of ListTrainingJobs."""
    state = job.state(lag)
    row: dict[str, Any] = {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "CreationTime": moment(job.created),
        "LastModifiedTime": moment(state.modified),
        "TrainingJobStatus": state.status,
        "SecondaryStatus": state.secondary,
    }
    if state.ended is not None:
        row["TrainingEndTime"] = moment(state.ended)
    if pool := job.warm_pool(lag):
        row["WarmPoolStatus"] = pool
    if plan := (job.request.get("ResourceConfig") or {}).get("TrainingPlanArn"):
        row["TrainingPlanArn"] = plan
    return row


def _filled_in(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that have defaults."""
    answer: dict[str, Any] = {
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400, **(request.get("StoppingCondition") or {})},
        "EnableNetworkIsolation": bool(request.get("EnableNetworkIsolation")),
        "EnableInterContainerTrafficEncryption": bool(request.get("EnableInterContainerTrafficEncryption")),
        "EnableManagedSpotTraining": bool(request.get("EnableManagedSpotTraining")),
        "ProfilingStatus": "Enabled" if _profiled(request) else "Disabled",
    }
    if "AlgorithmSpecification" in request:
        answer["AlgorithmSpecification"] = {
            **request["AlgorithmSpecification"],
            "EnableSageMakerMetricsTimeSeries": bool(
                request["AlgorithmSpecification"].get("EnableSageMakerMetricsTimeSeries")
            ),
        }
    if "OutputDataConfig" in request:
        answer["OutputDataConfig"] = {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]}
    if "ResourceConfig" in request:
        resources = request["ResourceConfig"]
        answer["ResourceConfig"] = {"InstanceCount": 0, **resources} if "InstanceGroups" in resources else resources
    return answer


def _profiled(request: Mapping[str, Any]) -> bool:
    profiler = request.get("ProfilerConfig")
    return profiler is not None and not profiler.get("DisableProfiler")


def _rules(request: Mapping[str, Any], state: "TrainingState") -> dict[str, Any]:
    """Return Debugger's rules; nothing evaluates them here, as the answer says when the job has ended."""
    answer: dict[str, Any] = {}
    for member, statuses in _RULES.items():
        if member not in request:
            continue
        answer[member] = [{"VolumeSizeInGB": 0, **rule} for rule in request[member]]
        status: dict[str, Any] = {"RuleEvaluationStatus": "InProgress", "LastModifiedTime": moment(state.modified)}
        if state.ended is not None:
            status |= {"RuleEvaluationStatus": "Stopped", "StatusDetails": "the emulator evaluates no rules"}
        answer[statuses] = [
            {"RuleConfigurationName": rule["RuleConfigurationName"], **status} for rule in request[member]
        ]
    return answer


def _progress(state: "TrainingState") -> dict[str, Any]:
    """Return the members that are answered only from a certain moment on."""
    answer: dict[str, Any] = {}
    if state.started is not None:
        answer["TrainingStartTime"] = moment(state.started)
        answer["TrainingTimeInSeconds"] = max(1, math.ceil((state.ended or time.time()) - state.started))
    if state.ended is not None:
        answer["TrainingEndTime"] = moment(state.ended)
        if state.started is not None:
            answer["BillableTimeInSeconds"] = answer["TrainingTimeInSeconds"]
    if state.failure:
        answer["FailureReason"] = state.failure
    if state.artifacts:
        answer["ModelArtifacts"] = {"S3ModelArtifacts": state.artifacts}
    values = [
        {"MetricName": name, "Value": value, "Timestamp": moment(at)}
        for name, (value, at) in (state.metrics or {}).items()
        if math.isfinite(value)
    ]
    return {**answer, "FinalMetricDataList": values} if values else answer


def _transition(status: str, start: float, end: float | None, message: str) -> dict[str, Any]:
    row: dict[str, Any] = {"Status": status, "StartTime": moment(start), "StatusMessage": message}
    return row if end is None else {**row, "EndTime": moment(end)}
