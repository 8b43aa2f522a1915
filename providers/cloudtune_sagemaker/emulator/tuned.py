"""The training jobs of a tuning job: their requests, and what the service reports of them there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudtune.store.records import TrialState
from cloudtune_sagemaker.emulator.answers import moment
from cloudtune_sagemaker.emulator.definitions import OBJECTIVE_MARK, completed
from cloudtune_sagemaker.emulator.jobs import TERMINAL, TrainingJob
from cloudtune_sagemaker.emulator.searching import Definition

_ALIKE = (
    "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "StoppingCondition", "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining", "RetryStrategy", "Environment",
)  # fmt: skip
"""Members of HyperParameterTrainingJobDefinition that CreateTrainingJob has under the same names."""


def request_of(definition: Definition, name: str, tuned: Mapping[str, str]) -> dict[str, Any]:
    """Return the CreateTrainingJob request of a trial.

    Args:
        definition: what the tuning request says.
        name: the training job's.
        tuned: the tuned hyperparameters.
    """
    declared = definition.request
    request = {
        "TrainingJobName": name,
        "AlgorithmSpecification": completed(declared["AlgorithmSpecification"], definition.metric),
        "HyperParameters": {**static_of(definition), **tuned},
        "ResourceConfig": resources_of(declared),
        **{member: declared[member] for member in _ALIKE if member in declared},
    }
    if "CheckpointConfig" in declared:  # in one place the checkpoints of a trial would be those of the next
        place = declared["CheckpointConfig"]
        request["CheckpointConfig"] = {**place, "S3Uri": f"{place['S3Uri'].rstrip('/')}/{name}"}
    return request


def static_of(definition: Definition) -> dict[str, str]:
    """Return the hyperparameters that all trials share, with the one that the service adds."""
    return {OBJECTIVE_MARK: definition.metric, **(definition.request.get("StaticHyperParameters") or {})}


def resources_of(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ResourceConfig; of several InstanceConfigs the first, which is preferred and always to be had here."""
    flexible = declared.get("HyperParameterTuningResourceConfig")
    if not flexible:
        return dict(declared.get("ResourceConfig") or {})
    found = {name: value for name, value in flexible.items() if name not in ("InstanceConfigs", "AllocationStrategy")}
    return {**found, **(flexible.get("InstanceConfigs") or [{}])[0]}


@dataclass(frozen=True, slots=True)
class TunedJob:
    """A training job as a trial.

    Attributes:
        job: the training job.
        definition: what it is an instance of.
        tuned: its tuned hyperparameters.
        tuning_job: the name of the tuning job.
    """

    job: TrainingJob
    definition: Definition
    tuned: Mapping[str, str]
    tuning_job: str

    def objective(self, lag: float = 0.0) -> float | None:
        """Return the final value of its objective; None before its end, and where there is no finite one."""
        state = self.job.state(lag)
        return state.metric(self.definition.metric) if state.status in ("Completed", "Stopped") else None

    def objective_status(self, lag: float = 0.0) -> str:
        """Succeeded, Pending or Failed."""
        if self.job.state(lag).status not in TERMINAL:
            return "Pending"
        return "Failed" if self.objective(lag) is None else "Succeeded"

    def trial_state(self) -> TrialState:
        """Return how it ended, as a later search learns from it."""
        if self.objective() is None:
            return TrialState.FAILED
        return TrialState.COMPLETED if self.job.state().status == "Completed" else TrialState.PRUNED

    def summary(self, lag: float = 0.0, *, named: bool = False) -> dict[str, Any]:
        """Return the HyperParameterTrainingJobSummary.

        Args:
            lag: seconds that it may be out of date.
            named: whether to say which tuning job it is of.
        """
        state, value = self.job.state(lag), self.objective(lag)
        row: dict[str, Any] = {
            "TrainingJobName": self.job.name,
            "TrainingJobArn": self.job.arn,
            "CreationTime": moment(self.job.created),
            "TrainingJobStatus": state.status,
            "TunedHyperParameters": dict(self.tuned),
            "ObjectiveStatus": self.objective_status(lag),
        }
        if self.definition.name:
            row["TrainingJobDefinitionName"] = self.definition.name
        if named:
            row["TuningJobName"] = self.tuning_job
        if state.started is not None:
            row["TrainingStartTime"] = moment(state.started)
        if state.ended is not None:
            row["TrainingEndTime"] = moment(state.ended)
        if state.failure:
            row["FailureReason"] = state.failure
        if value is not None:
            final: dict[str, Any] = {"MetricName": self.definition.metric, "Value": value}
            if self.definition.name:  # only where definitions may aim different ways
                final["Type"] = "Maximize" if self.definition.maximize else "Minimize"
            row["FinalHyperParameterTuningJobObjectiveMetric"] = final
        return row
