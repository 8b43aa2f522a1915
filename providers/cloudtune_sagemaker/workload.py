"""A training job of a request: program, machines, inputs, outputs, network and keys, for a tuning job or for one trial."""

import math
from collections.abc import Mapping
from typing import Any

from cloudtune.errors import ConfigError
from cloudtune.planning.account import Account
from cloudtune.planning.plain_data import mapping
from cloudtune.planning.plan import Beside, Ledger, Support
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.fields import alternatives, pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.metric_patterns import plain_patterns
from cloudtune.spec.objective import Objective
from cloudtune.spec.places import bucket_of, is_remote
from cloudtune.store.secrets import MASK
from cloudtune.trial import data_variable
from cloudtune.trial.printed_metrics import metric_regex
from cloudtune_sagemaker.algorithms import Algorithm, algorithm_of_image
from cloudtune_sagemaker.built_in import SCHEME, image_of
from cloudtune_sagemaker.capabilities import SUPPORT
from cloudtune_sagemaker.container import channel_name
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.space import defines_metrics, helped, starts_itself

PROVIDER = "sagemaker"

VARIABLES = "Environment"
"""The member of a definition that holds environment variables."""

CHANNEL = "cloudtune"
"""The channel in which the trial helper travels."""

DEFAULT_INSTANCE = "ml.m5.large"
FLEXIBLE = "HyperParameterTuningResourceConfig"
"""The member that takes several machine types, in place of ResourceConfig."""

DEFAULT_DISK = 30
"""GB of each machine's disk (botocore: VolumeSizeInGB)."""

DEFAULT_TRIAL_TIME = 86_400
"""Seconds: what the service takes where no MaxRuntimeInSeconds is given (API reference, StoppingCondition)."""

LONGEST_REGEX = 500
"""Characters of a regex (botocore: MetricRegex)."""

LONGEST_KEPT = 3600
"""Seconds; the greatest KeepAlivePeriodInSeconds of the developer guide (botocore's model takes more)."""

_GB = 1_000_000_000


class DefinitionWriter(Account):
    """Writes the members that the two requests share, and keeps the account of where each field went.

    Args:
        job: the spec.
        settings: of the profile.
        ledger: keeps the account.
        at: where the definition stands in the request: ``TrainingJobDefinition``, or "" for a training job's own.
    """

    support = SUPPORT

    def __init__(self, job: TuningJob, settings: SageMakerSettings, ledger: Ledger, at: str) -> None:
        super().__init__(job, ledger)
        self._settings = settings
        self._at = f"{at}." if at else ""
        self._driven = not at
        self._own_output = pick(job.output, PROVIDER) or settings.output
        self._bucket = settings.bucket or bucket_of(self._own_output, "s3") or "${bucket}"

    def write(self) -> dict[str, Any]:
        """Return the definition, without hyperparameters."""
        definition: dict[str, Any] = {
            "AlgorithmSpecification": self._algorithm(),
            "RoleArn": self._role(),
            "InputDataConfig": self._channels(),
            "OutputDataConfig": self._output(),
            FLEXIBLE if self._several else "ResourceConfig": self._resources(),
            "StoppingCondition": self._stopping(),
            **self._network(),
            **self._environment(),
        }
        if self._job.compute.spot:
            definition["EnableManagedSpotTraining"] = True
        # A driven trial may have another attempt for many reasons: it failed, was lost, interrupted or paused.
        if self._job.compute.spot or (self._driven and (helped(self._job) or self._job.retries)):
            definition["CheckpointConfig"] = {"S3Uri": f"{self._place_of_output()}/checkpoints"}
        self.carry_switch("compute.spot", self._job.compute.spot, f"{self._at}EnableManagedSpotTraining")
        return {name: value for name, value in definition.items() if value not in (None, [], {})}

    # Program

    def _algorithm(self) -> dict[str, Any]:
        place = f"{self._at}AlgorithmSpecification"
        algorithm: dict[str, Any] = {"TrainingInputMode": "File"}
        image = self._image(f"{place}.TrainingImage")
        if image is not None:
            algorithm["TrainingImage"] = image
        self._program(algorithm)
        self.note_sources(f"{place}.MetricDefinitions", helped=helped(self._job))
        own = None if image is None else algorithm_of_image(image)
        if own is not None and own.own:
            self._check_metrics(own)
        else:
            algorithm["MetricDefinitions"] = self._metrics(place)
        return algorithm

    def _image(self, target: str) -> str | None:
        own = self.own("trial.image", self._job.trial.image, target)
        image = own or (None if self._native_algorithm.get("AlgorithmName") is not None else self._settings.image)
        if image is None or not image.startswith(SCHEME):
            return image
        try:
            return image_of(image, self._settings.region)
        except ConfigError as error:
            self._ledger.note("trial.image", Support.UNSUPPORTED, str(error))
            return image

    @property
    def _native_algorithm(self) -> Mapping[str, Any]:
        """What the native settings say of the algorithm; a name there takes the place of an image."""
        definition = mapping(self._job.native_settings(PROVIDER).get("TrainingJobDefinition"))
        return mapping(definition.get("AlgorithmSpecification"))

    def _program(self, algorithm: dict[str, Any]) -> None:
        name = "command" if self._job.trial.command is not None else "function"
        if not helped(self._job):
            self.note_code_of_none(starts_itself=starts_itself(self._job))
            return
        for part in ("source", "ignore"):
            self._ledger.carry(f"trial.{part}", Beside.CODE)
        if self._driven:
            algorithm["ContainerEntrypoint"] = ["/bin/sh"]
            algorithm["ContainerArguments"] = ["-c", f"exec python3 /opt/ml/input/data/{CHANNEL}/trial.py"]
            self._ledger.carry(f"trial.{name}", Beside.CODE)
        else:
            self.note(f"trial.{name}", target=f"{self._at}StaticHyperParameters.sagemaker_program")

    def _metrics(self, place: str) -> list[dict[str, str]]:
        patterns = plain_patterns(self._job.measured, self._job.metrics, LONGEST_REGEX)
        for index, objective in enumerate(self._job.objective):
            self._note_length(f"objective[{index}]", objective, patterns, f"{place}.MetricDefinitions[{index}].Regex")
            if objective.regex is not None and objective.metric in self._job.metrics:
                message = "metrics has a pattern of this name, too, which is the one that counts"
                self._ledger.note(f"objective[{index}].regex", Support.APPROXIMATE, message)
            elif objective.regex is not None:
                self._ledger.carry(f"objective[{index}].regex", f"{place}.MetricDefinitions[{index}].Regex")
        for index, constraint in enumerate(self._job.constraints):
            self._note_length(f"constraints[{index}]", constraint, patterns, f"{place}.MetricDefinitions")
        self._ledger.carry("metrics", f"{place}.MetricDefinitions")
        return [{"Name": name, "Regex": regex} for name, regex in patterns.items()]

    def _note_length(
        self, path: str, measured: Objective | Constraint, patterns: Mapping[str, str], target: str
    ) -> None:
        """Note where the regex of a metric's name is too long for the service."""
        own = patterns[measured.metric]
        if (
            measured.regex is None
            and measured.source is None
            and measured.metric not in self._job.metrics
            and own != metric_regex(measured.metric)
        ):
            self._ledger.note(f"{path}.metric", *SUPPORT["objective.metric.long"], target)

    def _check_metrics(self, algorithm: Algorithm) -> None:
        """Account for metrics of an algorithm that brings its own: the service takes no definitions for it."""
        said = f"SageMaker's {algorithm.name} brings its own metrics along, and the service takes no others"
        for index, objective in enumerate(self._job.objective):
            near = algorithm.nearest(objective.metric)
            if self._driven:
                self._ledger.carry(f"objective[{index}].regex", Beside.DRIVER)  # the driver reads the log
                continue
            if objective.regex is not None:
                message = f"{said}: it reads {objective.metric} by a regex of its own"
                self._ledger.note(f"objective[{index}].regex", Support.APPROXIMATE, message)
            if not algorithm.knows(objective.metric) and not defines_metrics(self._job):
                hint = f"; did you mean {near!r}?" if near else f"; there are: {', '.join(algorithm.metrics)}"
                self._ledger.note("trial.image", Support.UNSUPPORTED, f"{said}: {objective.metric!r} is none{hint}")
        if self._driven:
            self._ledger.carry("metrics", Beside.DRIVER)
        elif self._job.metrics:
            self._ledger.note(
                "metrics", Support.APPROXIMATE, f"{said}; the process that follows the run reads those of the log"
            )
        by_profile = self._job.trial.image is None  # of the job's own image, the mode was chosen by it
        if by_profile and helped(self._job) and not self._driven and not defines_metrics(self._job):
            message = f"{said}, so that a program of your own cannot be tuned in its image: take a framework's image, or mode: driven"
            self._ledger.note("trial.image", Support.UNSUPPORTED, message)

    def _environment(self) -> dict[str, Any]:
        self._ledger.carry("trial.environment", f"{self._at}Environment")
        return {"Environment": dict.fromkeys(self._job.trial.environment, MASK)}

    # Inputs and outputs

    def _channels(self) -> list[dict[str, Any]]:
        channels: list[dict[str, Any]] = []
        for name, value in self._job.data.items():
            uri = self._place_of_data(name, pick(value, PROVIDER))
            if uri is None:
                self.note(f"data.{name}", "data.remote")
                continue
            target, called = f"{self._at}InputDataConfig[{len(channels)}]", channel_name(name, data_variable(name))
            self._ledger.carry_per_provider(f"data.{name}", value, target)
            if called != name:
                self._ledger.note(self.own_path(f"data.{name}", value), Support.ENCODED, f"is called {called}", target)
            channels.append(channel(called, uri))
        if helped(self._job):
            channels.append(channel(CHANNEL, code_place(self._bucket, self._settings)))
        return channels

    def _place_of_data(self, name: str, place: str | None) -> str | None:
        if place is None or place.startswith("s3://"):
            return place
        return None if is_remote(place) else f"s3://{self._bucket}/{self._settings.prefix}/data/${{data:{name}}}/"

    def code(self) -> str:
        """Return where the packed code lies, without the last slash."""
        return code_place(self._bucket, self._settings).rstrip("/")

    def _place_of_output(self) -> str:
        own = self._own_output
        if own is not None and own.startswith("s3://"):
            return own.rstrip("/")
        return f"s3://{self._bucket}/{self._settings.prefix}/output"

    def _output(self) -> dict[str, Any]:
        place, own = f"{self._at}OutputDataConfig", self._own_output
        output: dict[str, Any] = {"S3OutputPath": self._place_of_output()}
        if own is not None and own.startswith("s3://"):
            output["S3OutputPath"] = own
        if self._job.output is not None:
            if own is None or own.startswith("s3://"):
                self._ledger.carry_per_provider("output", self._job.output, f"{place}.S3OutputPath")
            else:
                self.note("output", "output.remote")
        key = self._key("key", f"{place}.KmsKeyId")
        return output if key is None else {**output, "KmsKeyId": key}

    def _key(self, name: str, target: str) -> str | None:
        return self.own(f"encryption.{name}", getattr(self._job.encryption, name, None), target)

    # Machines

    def _role(self) -> str | None:
        return self.own("identity", self._job.identity, f"{self._at}RoleArn") or self._settings.role

    def _resources(self) -> dict[str, Any]:
        compute, several = self._job.compute, self._several
        member = f"{self._at}{FLEXIBLE if several else 'ResourceConfig'}"
        place = f"{member}.InstanceConfigs[0]" if several else member  # the others differ in their type alone
        target = f"{member}.InstanceConfigs" if several else f"{member}.InstanceType"
        self.own("compute.instance", compute.instance, target)
        if not several:
            self.note_several("compute.instance", compute.instance, "compute.instance.several", target)
        self._ledger.carry("compute.count", f"{place}.InstanceCount")
        exact = DEFAULT_DISK if compute.disk is None else compute.disk / _GB
        disk = self.whole("compute.disk", exact, "SageMaker counts whole GB", f"{place}.VolumeSizeInGB")
        self.note_given("compute", "accelerators", "cpus", "memory", target=f"{place}.InstanceType")
        kinds = alternatives(compute.instance, PROVIDER) or (self._settings.instance or DEFAULT_INSTANCE,)
        each = [{"InstanceType": kind, "InstanceCount": compute.count, "VolumeSizeInGB": disk} for kind in kinds]
        resources: dict[str, Any] = (
            {"AllocationStrategy": "Prioritized", "InstanceConfigs": each} if several else dict(each[0])
        )
        resources |= self._kept(f"{place}.KeepAlivePeriodInSeconds")
        key = self._key("volume_key", f"{member}.VolumeKmsKeyId")
        return resources if key is None else {**resources, "VolumeKmsKeyId": key}

    @property
    def _several(self) -> bool:
        """Whether the service itself chooses among several machine types; for training jobs, the driver does."""
        return not self._driven and len(alternatives(self._job.compute.instance, PROVIDER)) > 1

    def _kept(self, target: str) -> dict[str, int]:
        """Return how long machines are kept after a job ("SageMaker AI managed warm pools", considerations)."""
        compute = self._job.compute
        if compute.keep is None:
            return {}
        if not self._driven or compute.spot:
            self._ledger.note("compute.keep", *SUPPORT["compute.keep.spot" if self._driven else "compute.keep.managed"])
            return {}
        seconds = math.ceil(compute.keep.total_seconds())
        if seconds > LONGEST_KEPT:
            self._ledger.note("compute.keep", *SUPPORT["compute.keep.longest"], target)
        else:
            message = f"SageMaker counts whole seconds: {seconds}"
            same = seconds == compute.keep.total_seconds()
            self._ledger.carry_if(same, "compute.keep", target, Support.APPROXIMATE, message)
        return {"KeepAlivePeriodInSeconds": min(seconds, LONGEST_KEPT)}

    def _stopping(self) -> dict[str, int]:
        place, limits, compute = f"{self._at}StoppingCondition", self._job.limits, self._job.compute
        seconds, longest = "SageMaker counts whole seconds", DEFAULT_TRIAL_TIME
        if limits.trial_time is not None:
            exact = limits.trial_time.total_seconds()
            longest = self.whole("limits.trial_time", exact, seconds, f"{place}.MaxRuntimeInSeconds")
        if not compute.spot:
            if compute.max_wait is not None:
                message = "there is nothing to wait for without spot"
                self._ledger.note("compute.max_wait", Support.APPROXIMATE, message)
            return {"MaxRuntimeInSeconds": longest}
        wait = longest
        if compute.max_wait is not None:
            exact = compute.max_wait.total_seconds()
            wait = self.whole("compute.max_wait", exact, seconds, f"{place}.MaxWaitTimeInSeconds")
        return {"MaxRuntimeInSeconds": longest, "MaxWaitTimeInSeconds": wait}

    def _network(self) -> dict[str, Any]:
        network, encryption = self._job.network, self._job.encryption
        members: dict[str, Any] = {}
        if network is not None:
            if network.subnets or network.security_groups:
                members["VpcConfig"] = {
                    "SecurityGroupIds": list(network.security_groups),
                    "Subnets": list(network.subnets),
                }
            self._ledger.carry("network.subnets", f"{self._at}VpcConfig.Subnets")
            self._ledger.carry("network.security_groups", f"{self._at}VpcConfig.SecurityGroupIds")
            self.note_given("network", "name")
            if network.isolated:
                members["EnableNetworkIsolation"] = True
            self.carry_switch("network.isolated", network.isolated, f"{self._at}EnableNetworkIsolation")
        if encryption is not None:
            if encryption.traffic:
                members["EnableInterContainerTrafficEncryption"] = True
            target = f"{self._at}EnableInterContainerTrafficEncryption"
            self.carry_switch("encryption.traffic", encryption.traffic, target)
        return members


def channel(name: str, uri: str) -> dict[str, Any]:
    """Return an input from S3: all objects below a prefix, on every machine."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def code_place(bucket: str, settings: SageMakerSettings) -> str:
    """Return where the packed code of a job lies, once its hash is known."""
    return f"s3://{bucket}/{settings.prefix}/${{code}}/"
