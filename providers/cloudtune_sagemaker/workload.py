"""A training job of a request: program, machines, inputs, outputs, network and keys, for a tuning job or for one trial."""

import math
from typing import Any

from cloudtune.errors import ConfigError
from cloudtune.planning.plan import Beside, Ledger, Support
from cloudtune.spec.job import TuningJob, pick
from cloudtune.spec.metric_patterns import plain_patterns
from cloudtune.spec.places import is_remote
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

CHANNEL = "cloudtune"
"""The channel in which the trial helper travels."""

DEFAULT_INSTANCE = "ml.m5.large"
DEFAULT_DISK = 30
"""GB of each machine's disk (botocore: VolumeSizeInGB)."""

DEFAULT_TRIAL_TIME = 86_400
"""Seconds: what the service takes where no MaxRuntimeInSeconds is given (API reference, StoppingCondition)."""

LONGEST_REGEX = 500
"""Characters of a regex (botocore: MetricRegex)."""

LONGEST_KEPT = 3600
"""Seconds; the greatest KeepAlivePeriodInSeconds of the developer guide (botocore's model takes more)."""

_GB = 1_000_000_000


class DefinitionWriter:
    """Writes the members that the two requests share, and keeps the account of where each field went.

    Args:
        job: the spec.
        settings: of the profile.
        ledger: keeps the account.
        at: where the definition stands in the request: ``TrainingJobDefinition``, or "" for a training job's own.
    """

    def __init__(self, job: TuningJob, settings: SageMakerSettings, ledger: Ledger, at: str) -> None:
        self._job = job
        self._settings = settings
        self._ledger = ledger
        self._at = f"{at}." if at else ""
        self._driven = not at
        self._own_output = pick(job.output, PROVIDER) or settings.output
        self._bucket = settings.bucket or _bucket_of(self._own_output) or "${bucket}"

    def write(self) -> dict[str, Any]:
        """The definition, without hyperparameters."""
        definition: dict[str, Any] = {
            "AlgorithmSpecification": self._algorithm(),
            "RoleArn": self._role(),
            "InputDataConfig": self._channels(),
            "OutputDataConfig": self._output(),
            "ResourceConfig": self._resources(),
            "StoppingCondition": self._stopping(),
            **self._network(),
            **self._environment(),
        }
        if self._job.compute.spot:
            definition["EnableManagedSpotTraining"] = True
        if self._job.compute.spot or (self._driven and self._job.retries):
            definition["CheckpointConfig"] = {"S3Uri": f"{self._place_of_output()}/checkpoints"}
        self._ledger.carry(
            "compute.spot", f"{self._at}EnableManagedSpotTraining" if self._job.compute.spot else Beside.DEFAULT
        )
        return {name: value for name, value in definition.items() if value not in (None, [], {})}

    # Program

    def _algorithm(self) -> dict[str, Any]:
        place = f"{self._at}AlgorithmSpecification"
        algorithm: dict[str, Any] = {"TrainingInputMode": "File"}
        image = self._image()
        if image is not None:
            algorithm["TrainingImage"] = image
        if self._job.trial.image is not None:
            self._ledger.carry_per_provider("trial.image", self._job.trial.image, f"{place}.TrainingImage")
        self._program(algorithm)
        own = None if image is None else algorithm_of_image(image)
        if own is not None and own.own:
            self._check_metrics(own)
        else:
            algorithm["MetricDefinitions"] = self._metrics(place)
        return algorithm

    def _image(self) -> str | None:
        own = pick(self._job.trial.image, PROVIDER)
        image = own or (None if self._names_algorithm() else self._settings.image)
        if image is None or not image.startswith(SCHEME):
            return image
        try:
            return image_of(image, self._settings.region)
        except ConfigError as error:
            self._ledger.note("trial.image", Support.UNSUPPORTED, str(error))
            return image

    def _names_algorithm(self) -> bool:
        """Whether the native settings name an algorithm, which takes the place of an image."""
        definition = self._job.native_settings("sagemaker").get("TrainingJobDefinition")
        algorithm = definition.get("AlgorithmSpecification") if isinstance(definition, dict) else None
        return isinstance(algorithm, dict) and algorithm.get("AlgorithmName") is not None

    def _program(self, algorithm: dict[str, Any]) -> None:
        for name in ("source", "ignore"):
            if helped(self._job):
                self._ledger.carry(f"trial.{name}", Beside.CODE)
            elif getattr(self._job.trial, name):
                self._ledger.note(f"trial.{name}", *SUPPORT["trial.source.native"])
        if self._driven and helped(self._job):
            algorithm["ContainerEntrypoint"] = ["/bin/sh"]
            algorithm["ContainerArguments"] = ["-c", f"exec python3 /opt/ml/input/data/{CHANNEL}/trial.py"]
            for name in ("command", "function"):
                self._ledger.carry(f"trial.{name}", Beside.CODE)
        elif helped(self._job):
            name = "command" if self._job.trial.command is not None else "function"
            target = f"{self._at}StaticHyperParameters.sagemaker_program"
            self._ledger.note(f"trial.{name}", *SUPPORT[f"trial.{name}"], target)
        elif starts_itself(self._job):
            name = "command" if self._job.trial.command is not None else "function"
            self._ledger.note(f"trial.{name}", *SUPPORT["trial.command.native"])

    def _metrics(self, place: str) -> list[dict[str, str]]:
        patterns = plain_patterns(self._job.objective, self._job.metrics, LONGEST_REGEX)
        for index, objective in enumerate(self._job.objective):
            if objective.regex is None and patterns[objective.metric] != metric_regex(objective.metric):
                row = SUPPORT["objective.metric.long"]
                self._ledger.note(f"objective[{index}].metric", *row, f"{place}.MetricDefinitions[{index}].Regex")
            if objective.regex is not None and objective.metric in self._job.metrics:
                message = "metrics has a pattern of this name, too, which is the one that counts"
                self._ledger.note(f"objective[{index}].regex", Support.APPROXIMATE, message)
            elif objective.regex is not None:
                self._ledger.carry(f"objective[{index}].regex", f"{place}.MetricDefinitions[{index}].Regex")
        self._ledger.carry("metrics", f"{place}.MetricDefinitions")
        return [{"Name": name, "Regex": regex} for name, regex in patterns.items()]

    def _check_metrics(self, algorithm: Algorithm) -> None:
        """Accounts for metrics of an algorithm that brings its own: the service takes no definitions for it."""
        said = f"SageMaker's {algorithm.name} brings its own metrics along, and the service takes no others"
        for index, objective in enumerate(self._job.objective):
            near = algorithm.nearest(objective.metric)
            if self._driven:
                self._ledger.carry(f"objective[{index}].regex", Beside.DRIVER)  # whoever drives reads the log
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
                "metrics", Support.APPROXIMATE, f"{said}; those of the log are read by who follows the run"
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
                self._ledger.note(f"data.{name}", *SUPPORT["data.remote"])
                continue
            target, called = f"{self._at}InputDataConfig[{len(channels)}]", channel_name(name, data_variable(name))
            self._ledger.carry_per_provider(f"data.{name}", value, target)
            if called != name:
                path = f"data.{name}" if isinstance(value, str) else f"data.{name}.{PROVIDER}"
                self._ledger.note(path, Support.ENCODED, f"is called {called}", target)
            channels.append(channel(called, uri))
        if helped(self._job):
            channels.append(channel(CHANNEL, code_place(self._bucket, self._settings)))
        return channels

    def _place_of_data(self, name: str, place: str | None) -> str | None:
        if place is None:
            return None
        if place.startswith("s3://"):
            return place
        if is_remote(place):
            return None
        return f"s3://{self._bucket}/{self._settings.prefix}/data/${{data:{name}}}/"

    def code(self) -> str:
        """Where the packed code lies, without the last slash."""
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
                self._ledger.note("output", *SUPPORT["output.remote"])
        key = self._key("key", f"{place}.KmsKeyId")
        return output if key is None else {**output, "KmsKeyId": key}

    def _key(self, name: str, target: str) -> str | None:
        value = getattr(self._job.encryption, name, None)
        if value is not None:
            self._ledger.carry_per_provider(f"encryption.{name}", value, target)
        return pick(value, PROVIDER)

    # Machines

    def _role(self) -> str | None:
        role = pick(self._job.identity, PROVIDER) or self._settings.role
        if self._job.identity is not None:
            self._ledger.carry_per_provider("identity", self._job.identity, f"{self._at}RoleArn")
        return role

    def _resources(self) -> dict[str, Any]:
        compute, place = self._job.compute, f"{self._at}ResourceConfig"
        instance = pick(compute.instance, PROVIDER)
        if compute.instance is not None:
            self._ledger.carry_per_provider("compute.instance", compute.instance, f"{place}.InstanceType")
        self._ledger.carry("compute.count", f"{place}.InstanceCount")
        disk = DEFAULT_DISK if compute.disk is None else math.ceil(compute.disk / _GB)
        same = compute.disk in (None, disk * _GB)
        message = f"SageMaker counts whole GB: {disk}"
        self._ledger.carry_if(same, "compute.disk", f"{place}.VolumeSizeInGB", Support.APPROXIMATE, message)
        for name in ("accelerators", "cpus", "memory"):
            if getattr(compute, name) is not None:
                self._ledger.note(f"compute.{name}", *SUPPORT[f"compute.{name}"], f"{place}.InstanceType")
        resources = {
            "InstanceType": instance or self._settings.instance or DEFAULT_INSTANCE,
            "InstanceCount": compute.count,
            "VolumeSizeInGB": disk,
        }
        resources |= self._kept(f"{place}.KeepAlivePeriodInSeconds")
        key = self._key("volume_key", f"{place}.VolumeKmsKeyId")
        return resources if key is None else {**resources, "VolumeKmsKeyId": key}

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
        longest = DEFAULT_TRIAL_TIME
        if limits.trial_time is not None:
            longest = max(1, math.ceil(limits.trial_time.total_seconds()))
            if longest == limits.trial_time.total_seconds():
                self._ledger.carry("limits.trial_time", f"{place}.MaxRuntimeInSeconds")
            else:
                message = f"SageMaker counts whole seconds: {longest}"
                self._ledger.note("limits.trial_time", Support.APPROXIMATE, message, f"{place}.MaxRuntimeInSeconds")
        stopping = {"MaxRuntimeInSeconds": longest}
        if compute.spot:
            wait = longest if compute.max_wait is None else math.ceil(compute.max_wait.total_seconds())
            stopping["MaxWaitTimeInSeconds"] = wait
        if compute.max_wait is not None:
            self._max_wait(place)
        return stopping

    def _max_wait(self, place: str) -> None:
        wait = self._job.compute.max_wait
        if not self._job.compute.spot:
            self._ledger.note("compute.max_wait", Support.APPROXIMATE, "there is nothing to wait for without spot")
        elif wait is not None and wait.total_seconds() != math.ceil(wait.total_seconds()):
            message = f"SageMaker counts whole seconds: {math.ceil(wait.total_seconds())}"
            self._ledger.note("compute.max_wait", Support.APPROXIMATE, message, f"{place}.MaxWaitTimeInSeconds")
        else:
            self._ledger.carry("compute.max_wait", f"{place}.MaxWaitTimeInSeconds")

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
            if network.name is not None:
                self._ledger.note("network.name", *SUPPORT["network.name"])
            if network.isolated:
                members["EnableNetworkIsolation"] = True
            self._ledger.carry(
                "network.isolated", f"{self._at}EnableNetworkIsolation" if network.isolated else Beside.DEFAULT
            )
        if encryption is not None:
            if encryption.traffic:
                members["EnableInterContainerTrafficEncryption"] = True
            target = f"{self._at}EnableInterContainerTrafficEncryption" if encryption.traffic else Beside.DEFAULT
            self._ledger.carry("encryption.traffic", target)
        return members


def channel(name: str, uri: str) -> dict[str, Any]:
    """An input from S3: all objects below a prefix, on every machine."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def code_place(bucket: str, settings: SageMakerSettings) -> str:
    """Where the packed code of a job lies, once its hash is known."""
    return f"s3://{bucket}/{settings.prefix}/${{code}}/"


def _bucket_of(place: str | None) -> str | None:
    if place is None or not place.startswith("s3://"):
        return None
    return place.removeprefix("s3://").partition("/")[0] or None
