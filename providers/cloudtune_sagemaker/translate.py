"""From the spec to SageMaker's request, and an account of where each field went. Pure: no network, no credentials."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from cloudtune.planning.known_values import Finding
from cloudtune.planning.mode import Reason
from cloudtune.planning.plain_data import mapping
from cloudtune.planning.plan import Machines, Plan, Support
from cloudtune.planning.translation import Translation, with_environment
from cloudtune.planning.violations import Violation
from cloudtune.space.codecs import text_of
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import Bayesian, Grid, Hyperband, Random
from cloudtune.store.records import Trial
from cloudtune_sagemaker.capabilities import SUPPORT, reasons
from cloudtune_sagemaker.names import legal, plan_name
from cloudtune_sagemaker.rules import problems
from cloudtune_sagemaker.schema import members
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.space import (
    CONFIG,
    DEFINITION,
    MERGING,
    PROGRAM,
    Branch,
    account_for_branches,
    account_for_one,
    branches_of,
    codec_of,
    helped,
    packed_spec,
)
from cloudtune_sagemaker.values import judged, machines_of, regions, unheeded, with_known_machines
from cloudtune_sagemaker.workload import PROVIDER, VARIABLES, DefinitionWriter

DIRECTORY = "sagemaker_submit_directory"
"""The static hyperparameter by which the training toolkit knows where the code is."""

_SHORTEST, _LONGEST = 120, 15_768_000
"""Seconds that a tuning job may be limited to (botocore: HyperParameterTuningMaxRuntimeInSeconds)."""

_LEAST_PATIENCE = 3
"""The least MaxNumberOfTrainingJobsNotImproving (botocore)."""

_STRATEGIES = {Grid: "Grid", Random: "Random", Bayesian: "Bayesian", Hyperband: "Hyperband"}
_GOALS = {"maximize": "Maximize", "minimize": "Minimize"}
_KINDS = {"identical": "IdenticalDataAndAlgorithm", "transfer": "TransferLearning"}


def translate(job: TuningJob, settings: SageMakerSettings | None = None) -> Plan:
    """Return the plan for SageMaker: the whole request, and a note for each field that is not carried exactly.

    Args:
        job: the spec.
        settings: of the profile.

    Returns:
        A plan whose mode says whether the request is that of a tuning job (managed), or of the training job that
        each trial is (driven). ``${bucket}``, ``${code}`` and ``${data:NAME}`` in it are known when the run starts.
    """
    return _Translation(job, settings or SageMakerSettings()).plan()


def bare_request(job: TuningJob, settings: SageMakerSettings | None = None) -> dict[str, Any]:
    """Return the request of a tuning job as the neutral fields alone say it, without the native settings."""
    return _Translation(job, settings or SageMakerSettings()).bare()


def hyperparameters_of(job: TuningJob, trial: Trial) -> dict[str, str]:
    """Return the hyperparameters of the training job that runs a driven trial, as texts."""
    values = codec_of(job).encode(trial.parameters) if helped(job) else trial.parameters
    return {name: text_of(value) for name, value in values.items()}


class _Translation(Translation):
    """One translation of one job to SageMaker."""

    provider, service, support, merging = PROVIDER, "SageMaker", SUPPORT, MERGING
    from_profile: ClassVar[Mapping[str, str]] = {
        "InstanceType": "compute.instance",
        "RoleArn": "identity",
        "TrainingImage": "trial.image",
    }

    def __init__(self, job: TuningJob, settings: SageMakerSettings) -> None:
        super().__init__(job)
        self._settings = settings
        self._codec = codec_of(self._job)
        self._branches = branches_of(self._job, self._codec)

    def reasons(self) -> Iterable[Reason]:
        return reasons(self._job, self._codec, self._branches)

    def machines(self, request: Mapping[str, Any]) -> Machines | None:
        return machines_of(request)

    def plain_job(self) -> dict[str, Any]:
        request = DefinitionWriter(self._job, self._settings, self._ledger, "").write()
        return {"TrainingJobName": plan_name(self._job.name), **request, **self._tags()}

    # A tuning job

    def tuning_job(self) -> dict[str, Any]:
        writer = DefinitionWriter(self._job, self._settings, self._ledger, self._place(0))
        definition = writer.write()
        request: dict[str, Any] = {
            "HyperParameterTuningJobName": plan_name(self._job.name),
            CONFIG: self._config(),
            **self._definitions(definition, writer.code()),
        }
        if legal(self._job.name) == plan_name(self._job.name) == self._job.name:
            self._ledger.carry("name", "HyperParameterTuningJobName")
        else:
            self.note("name", target="HyperParameterTuningJobName")
        return {**request, **self._warm_start(), **self._tags()}

    def _place(self, index: int) -> str:
        return DEFINITION if len(self._branches) == 1 else f"{DEFINITION}s[{index}]"

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"Strategy": self._strategy(), "ResourceLimits": self._limits()}
        if isinstance(self._job.strategy, Hyperband):
            config["StrategyConfig"] = self._hyperband(self._job.strategy)
        if len(self._branches) == 1:
            config["HyperParameterTuningJobObjective"] = self._objective(f"{CONFIG}.HyperParameterTuningJobObjective")
            config["ParameterRanges"] = self._branches[0].ranges
            account_for_one(self._ledger, self._job, self._codec, self._branches[0])
        config["TrainingJobEarlyStoppingType"] = "Off" if self._job.stopping is None else "Auto"
        self._stopping()
        completion = self._completion()
        if completion:
            config["TuningJobCompletionCriteria"] = completion
        seed = getattr(self._job.strategy, "seed", None)
        if seed is not None:
            config["RandomSeed"] = seed
        return config

    def _strategy(self) -> str:
        strategy = self._job.strategy
        self._ledger.carry("strategy", f"{CONFIG}.Strategy")
        if isinstance(strategy, Bayesian) and strategy.seed is not None:
            self.note("strategy.seed", "strategy.seed.bayesian", f"{CONFIG}.RandomSeed")
        else:
            self._ledger.carry("strategy.seed", f"{CONFIG}.RandomSeed")
        if isinstance(strategy, Grid) and strategy.levels is not None:
            message = "the grid's values travel as categories"
            self._ledger.note("strategy.levels", Support.ENCODED, message, f"{CONFIG}.ParameterRanges")
        return _STRATEGIES.get(type(strategy), "Random")

    def _hyperband(self, strategy: Hyperband) -> dict[str, Any]:
        place = f"{CONFIG}.StrategyConfig.HyperbandStrategyConfig"
        self._ledger.carry("strategy.min_resource", f"{place}.MinResource")
        self._ledger.carry("strategy.max_resource", f"{place}.MaxResource")
        if strategy.eta != Hyperband(max_resource=1).eta or "eta" in strategy.model_fields_set:
            self.note("strategy.eta", "strategy.hyperband.eta")
        config = {"MinResource": strategy.min_resource, "MaxResource": strategy.max_resource}
        return {"HyperbandStrategyConfig": config}

    def _limits(self) -> dict[str, int]:
        limits, place = self._job.limits, f"{CONFIG}.ResourceLimits"
        most = limits.trials or limits.parallel
        found = {"MaxParallelTrainingJobs": self.parallel(most, f"{place}.MaxParallelTrainingJobs")}
        if limits.trials is not None:
            found["MaxNumberOfTrainingJobs"] = limits.trials
            self._ledger.carry("limits.trials", f"{place}.MaxNumberOfTrainingJobs")
        if limits.time is not None:
            seconds = limits.time.total_seconds()
            if _SHORTEST <= seconds <= _LONGEST and seconds == math.ceil(seconds):
                found["MaxRuntimeInSeconds"] = int(seconds)
                self._ledger.carry("limits.time", f"{place}.MaxRuntimeInSeconds")
            else:
                self.note("limits.time")
        self.note_given("limits", "failed", "cost")
        return found

    def _completion(self) -> dict[str, Any]:
        limits, place = self._job.limits, f"{CONFIG}.TuningJobCompletionCriteria"
        criteria: dict[str, Any] = {}
        if limits.target is not None:
            criteria["TargetObjectiveMetricValue"] = limits.target
            self._ledger.carry("limits.target", f"{place}.TargetObjectiveMetricValue")
        if limits.no_improvement is not None and limits.no_improvement >= _LEAST_PATIENCE:
            criteria["BestObjectiveNotImproving"] = {"MaxNumberOfTrainingJobsNotImproving": limits.no_improvement}
            self._ledger.carry("limits.no_improvement", f"{place}.BestObjectiveNotImproving")
        elif limits.no_improvement is not None:
            self.note("limits.no_improvement")
        return criteria

    def _stopping(self) -> None:
        target = f"{CONFIG}.TrainingJobEarlyStoppingType"
        if isinstance(self._job.stopping, Median):
            self.note("stopping", "stopping.median", target)
        elif isinstance(self._job.stopping, Auto):
            self._ledger.carry("stopping", target)

    def _objective(self, place: str) -> dict[str, str]:
        objective = self._job.objective[0]
        self._ledger.carry("objective[0].metric", f"{place}.MetricName")
        self._ledger.carry("objective[0].goal", f"{place}.Type")
        if objective.measurement == "last":
            self._ledger.carry("objective[0].measurement", place)
        return {"Type": _GOALS[objective.goal], "MetricName": objective.metric}

    # Definitions

    def _definitions(self, definition: Mapping[str, Any], code: str) -> dict[str, Any]:
        if len(self._branches) == 1:
            static = self._static(self._branches[0], code)
            return {DEFINITION: {**definition, **({"StaticHyperParameters": static} if static else {})}}
        several = []
        for index, branch in enumerate(self._branches):
            place = self._place(index)
            several.append(
                {
                    "DefinitionName": branch.name,
                    "TuningObjective": self._objective(f"{place}.TuningObjective"),
                    "HyperParameterRanges": branch.ranges,
                    **definition,
                    "StaticHyperParameters": self._static(branch, code),
                }
            )
        account_for_branches(self._ledger, self._job, self._codec, self._branches)
        return {f"{DEFINITION}s": several}

    def _static(self, branch: Branch, code: str) -> dict[str, str]:
        if not helped(self._job):
            return branch.static
        start = {PROGRAM: "cloudtune_trial.py", DIRECTORY: f"{code}/sourcedir.tar.gz"}
        return {**start, **packed_spec(self._job), **branch.static}

    # What stands beside

    def _warm_start(self) -> dict[str, Any]:
        warm = self._job.warm_start
        if warm is None or not warm.runs:
            return {}
        self._ledger.carry("warm_start.runs", "WarmStartConfig.ParentHyperParameterTuningJobs")
        self._ledger.carry("warm_start.kind", "WarmStartConfig.WarmStartType")
        parents = [{"HyperParameterTuningJobName": run} for run in warm.runs]
        return {"WarmStartConfig": {"ParentHyperParameterTuningJobs": parents, "WarmStartType": _KINDS[warm.kind]}}

    def _tags(self) -> dict[str, Any]:
        self._ledger.carry("tags", "Tags")
        tags = [{"Key": key, "Value": value} for key, value in self._job.tags.items()]
        return {"Tags": tags} if tags else {}

    # Native settings, and what the service would say

    def merged(self, request: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
        merged = super().merged(request, patch)
        if len(self._branches) == 1 and merged.get(f"{DEFINITION}s") and DEFINITION not in patch:
            merged.pop(DEFINITION, None)  # several definitions take the place of the one
        return merged

    def native_of_trial(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the members of the one definition that a training job has as well."""
        allowed, definition, patch = members("CreateTrainingJob"), mapping(own.get(DEFINITION)), {}
        for name, value in definition.items():
            if name in allowed:
                patch[name] = value
                self.carry_native(f"{DEFINITION}.{name}", name)
            else:
                message = "a training job has no such setting: of no effect in a driven run"
                self.note_native(f"{DEFINITION}.{name}", message)
        for name in own:
            if name != DEFINITION or not definition:
                self.note_native(name)
        return patch

    def findings(self, request: Mapping[str, Any]) -> Iterator[Finding]:
        yield from judged(request)
        yield from unheeded(request)
        if self._settings.region is not None:
            self._ledger.judge("region", regions().judge(self._settings.region))

    def violations(self, request: dict[str, Any]) -> list[Violation]:
        operation = "CreateTrainingJob" if self._mode.driven else "CreateHyperParameterTuningJob"
        whole = with_environment(request, self._job.trial.environment, VARIABLES)  # whose lengths are limited
        return problems(with_known_machines(self._with_what_a_profile_gives(whole)), operation)

    def _with_what_a_profile_gives(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request with placeholders for a missing role and image, and note what is missing."""
        whole = dict(request)
        if self._mode.driven:
            filled: dict[str, Any] = self._with_role_and_image(whole)
            return filled
        if DEFINITION in whole:
            whole[DEFINITION] = self._with_role_and_image(whole[DEFINITION])
        if isinstance(whole.get(f"{DEFINITION}s"), list):
            whole[f"{DEFINITION}s"] = [self._with_role_and_image(each) for each in whole[f"{DEFINITION}s"]]
        return whole

    def _with_role_and_image(self, definition: Any) -> Any:  # native settings may have put anything there
        if not isinstance(definition, Mapping) or not isinstance(definition.get("AlgorithmSpecification"), Mapping):
            return definition
        algorithm = definition["AlgorithmSpecification"]
        if not definition.get("RoleArn"):
            self.note_missing("identity", _NO_ROLE)
        if not algorithm.get("TrainingImage") and not algorithm.get("AlgorithmName"):
            self.note_missing("trial.image", _NO_IMAGE)
            algorithm = {**algorithm, "TrainingImage": "missing"}
        role = definition.get("RoleArn") or "arn:aws:iam::000000000000:role/missing"
        return {**definition, "RoleArn": role, "AlgorithmSpecification": algorithm}


_NO_ROLE = 'no role to run as; give identity: arn:aws:iam::…:role/…, or role = "…" in the profile'
_NO_IMAGE = 'no image to run in; give trial.image, or image = "…" in the profile'
