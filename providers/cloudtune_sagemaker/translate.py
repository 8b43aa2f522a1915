"""From the spec to SageMaker's request, and an account of where each field went. Pure: no network, no credentials."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from cloudtune.planning.mode import Mode
from cloudtune.planning.plan import Beside, Ledger, Plan, Support
from cloudtune.space.codecs import text_of
from cloudtune.spec.job import TuningJob
from cloudtune.spec.stopping import Auto, Median
from cloudtune.spec.strategies import Bayesian, Grid, Hyperband, Random
from cloudtune.store.records import Trial
from cloudtune.store.secrets import MASK
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
from cloudtune_sagemaker.workload import PROVIDER, DefinitionWriter

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
    """The plan for SageMaker: the whole request, and a note for each field that is not carried as it stands.

    Args:
        job: the spec.
        settings: of the profile.

    Returns:
        A plan whose mode says whether the request is that of a tuning job (managed), or of the training job that
        each trial is (driven). ``${bucket}``, ``${code}`` and ``${data:NAME}`` in it are known when the run starts.
    """
    return _Translation(job, settings or SageMakerSettings()).plan()


def bare_request(job: TuningJob, settings: SageMakerSettings | None = None) -> dict[str, Any]:
    """The request of a tuning job as the neutral fields alone say it, without the native settings."""
    return _Translation(job, settings or SageMakerSettings()).bare()


def native_request(job: TuningJob, settings: SageMakerSettings | None = None) -> dict[str, Any]:
    """The request of a job with the values of its environment variables, which a plan masks.

    Raises:
        UnsupportedError: SageMaker cannot run the job as it stands.
    """
    plan = translate(job, settings)
    plan.refuse()
    return with_environment(plan.request, job.trial.environment)


def with_environment(request: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """A request with the values of environment variables where a plan has masks."""
    filled = dict(request)
    if "Environment" in filled:
        own = filled["Environment"]
        filled["Environment"] = {name: values.get(name, text) if text == MASK else text for name, text in own.items()}
    if DEFINITION in filled:
        filled[DEFINITION] = with_environment(filled[DEFINITION], values)
    if f"{DEFINITION}s" in filled:
        filled[f"{DEFINITION}s"] = [with_environment(each, values) for each in filled[f"{DEFINITION}s"]]
    return filled


def hyperparameters_of(job: TuningJob, trial: Trial) -> dict[str, str]:
    """The hyperparameters of the training job that a driven trial is: all of them texts."""
    values = codec_of(job).encode(trial.parameters) if helped(job) else trial.parameters
    return {name: text_of(value) for name, value in values.items()}


class _Translation:
    """One translation of one job."""

    def __init__(self, job: TuningJob, settings: SageMakerSettings) -> None:
        self._job = job
        self._settings = settings
        self._ledger = Ledger(PROVIDER)
        self._codec = codec_of(job)
        self._branches = branches_of(job, self._codec)
        self._mode = Mode(job, SUPPORT, partial(reasons, job, self._branches))

    def plan(self) -> Plan:
        self._account_for_the_rest()
        request = self._training_job() if self._mode.driven else self._tuning_job()
        request = self._with_native(request)
        self._check(request)
        return self._ledger.close(self._job, self._mode.name, request, machines_of(request))

    def bare(self) -> dict[str, Any]:
        """See `bare_request`."""
        return self._tuning_job()

    # A training job a trial

    def _training_job(self) -> dict[str, Any]:
        self._mode.note_why_driven(self._ledger)
        for path in ("objective", "strategy", "stopping", "limits", "retries", "warm_start", "space", "mode", "name"):
            self._ledger.carry(path, Beside.DRIVER)
        request = DefinitionWriter(self._job, self._settings, self._ledger, "").write()
        self._tags(request)
        return {"TrainingJobName": plan_name(self._job.name), **request}

    # A tuning job

    def _tuning_job(self) -> dict[str, Any]:
        self._mode.note_unsupported(self._ledger)
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
            self._ledger.note("name", *SUPPORT["name"], "HyperParameterTuningJobName")
        self._ledger.carry("mode", Beside.PLAN)
        if not self._job.retries:
            self._ledger.carry("retries", Beside.DEFAULT)
        self._warm_start(request)
        self._tags(request)
        return request

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
            self._ledger.note("strategy.seed", *SUPPORT["strategy.seed.bayesian"], f"{CONFIG}.RandomSeed")
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
            self._ledger.note("strategy.eta", *SUPPORT["strategy.hyperband.eta"])
        config = {"MinResource": strategy.min_resource, "MaxResource": strategy.max_resource}
        return {"HyperbandStrategyConfig": config}

    def _limits(self) -> dict[str, int]:
        limits, place = self._job.limits, f"{CONFIG}.ResourceLimits"
        most = limits.trials or limits.parallel
        found = {"MaxParallelTrainingJobs": min(limits.parallel, most)}
        target, few = f"{place}.MaxParallelTrainingJobs", f"there are {most} trials in all"
        self._ledger.carry_if(limits.parallel <= most, "limits.parallel", target, Support.ENCODED, few)
        if limits.trials is not None:
            found["MaxNumberOfTrainingJobs"] = limits.trials
            self._ledger.carry("limits.trials", f"{place}.MaxNumberOfTrainingJobs")
        if limits.time is not None:
            seconds = limits.time.total_seconds()
            if _SHORTEST <= seconds <= _LONGEST and seconds == math.ceil(seconds):
                found["MaxRuntimeInSeconds"] = int(seconds)
                self._ledger.carry("limits.time", f"{place}.MaxRuntimeInSeconds")
            else:
                self._ledger.note("limits.time", *SUPPORT["limits.time"])
        for name in ("failed", "cost"):
            if getattr(limits, name) is not None:
                self._ledger.note(f"limits.{name}", *SUPPORT[f"limits.{name}"])
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
            self._ledger.note("limits.no_improvement", *SUPPORT["limits.no_improvement"])
        return criteria

    def _stopping(self) -> None:
        target = f"{CONFIG}.TrainingJobEarlyStoppingType"
        if isinstance(self._job.stopping, Median):
            self._ledger.note("stopping", *SUPPORT["stopping.median"], target)
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

    def _warm_start(self, request: dict[str, Any]) -> None:
        warm = self._job.warm_start
        if warm is None or not warm.runs:
            return
        parents = [{"HyperParameterTuningJobName": run} for run in warm.runs]
        request["WarmStartConfig"] = {"ParentHyperParameterTuningJobs": parents, "WarmStartType": _KINDS[warm.kind]}
        self._ledger.carry("warm_start.runs", "WarmStartConfig.ParentHyperParameterTuningJobs")
        self._ledger.carry("warm_start.kind", "WarmStartConfig.WarmStartType")

    def _tags(self, request: dict[str, Any]) -> None:
        self._ledger.carry("tags", "Tags")
        if self._job.tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in self._job.tags.items()]

    def _account_for_the_rest(self) -> None:
        self._ledger.carry("strict", Beside.PLAN)
        self._ledger.carry("mode", Beside.PLAN)
        self._ledger.note_other_natives(self._job, *SUPPORT["native"])

    # Native settings, and what the service would say

    def _with_native(self, request: dict[str, Any]) -> dict[str, Any]:
        own = self._job.native_settings("sagemaker")
        if not own:
            return request
        if self._mode.driven:
            return self._with_native_definition(request, own)
        for name in own:
            self._ledger.carry(f"sagemaker.{name}", name)
        patched: dict[str, Any] = MERGING.merge(request, own)
        if len(self._branches) == 1 and patched.get(f"{DEFINITION}s") and DEFINITION not in own:
            patched.pop(DEFINITION)  # several definitions take the place of the one
        return patched

    def _with_native_definition(self, request: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """What the native settings say of the one training job definition holds for a training job as well."""
        allowed = members("CreateTrainingJob")
        definition = own.get(DEFINITION)
        patch = {}
        for name, value in definition.items() if isinstance(definition, Mapping) else ():
            if name in allowed:
                patch[name] = value
                self._ledger.carry(f"sagemaker.{DEFINITION}.{name}", name)
            else:
                message = "a training job has no such setting: of no effect in a driven run"
                self._ledger.note(f"sagemaker.{DEFINITION}.{name}", Support.APPROXIMATE, message)
        for name in own:
            if name != DEFINITION or not isinstance(definition, Mapping) or not definition:
                message = "is a setting of tuning jobs: of no effect in a driven run"
                self._ledger.note(f"sagemaker.{name}", Support.APPROXIMATE, message)
        patched: dict[str, Any] = MERGING.merge(request, patch)
        return patched

    def _check(self, request: Mapping[str, Any]) -> None:
        operation = "CreateTrainingJob" if self._mode.driven else "CreateHyperParameterTuningJob"
        for target, verdict in (*judged(request), *unheeded(request)):
            self._ledger.judge(self._path_of(target), verdict, target)
        if self._settings.region is not None:
            self._ledger.judge("region", regions().judge(self._settings.region))
        for violation in problems(with_known_machines(self._with_what_a_profile_gives(request)), operation):
            message = f"SageMaker refuses {violation.path}: {violation.words}"
            self._ledger.note(self._path_of(violation.path), Support.UNSUPPORTED, message)

    def _with_what_a_profile_gives(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request with something in the place of a role and an image that nobody gave, which is noted."""
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
        noted = {path for path, _ in self._ledger.targets()}
        if not definition.get("RoleArn") and "identity" not in noted:
            self._ledger.note("identity", Support.UNSUPPORTED, _NO_ROLE)
        if not algorithm.get("TrainingImage") and not algorithm.get("AlgorithmName"):
            if "trial.image" not in noted:
                self._ledger.note("trial.image", Support.UNSUPPORTED, _NO_IMAGE)
            algorithm = {**algorithm, "TrainingImage": "missing"}
        role = definition.get("RoleArn") or "arn:aws:iam::000000000000:role/missing"
        return {**definition, "RoleArn": role, "AlgorithmSpecification": algorithm}

    def _path_of(self, target: str) -> str:
        """The field of the spec that a member of the request came from."""
        other = _OF_THE_PROFILE.get(target.rpartition(".")[2], f"sagemaker.{target}")
        return self._ledger.field_at(self._job, target) or other


_OF_THE_PROFILE = {"InstanceType": "compute.instance", "RoleArn": "identity", "TrainingImage": "trial.image"}
"""Fields of the spec for members that a profile gives where the spec says nothing."""

_NO_ROLE = 'no role to run as; give identity: arn:aws:iam::…:role/…, or role = "…" in the profile'
_NO_IMAGE = 'no image to run in; give trial.image, or image = "…" in the profile'
