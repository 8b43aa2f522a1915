"""A CustomJobSpec: program, machines, inputs, outputs, network and identity, for a tuning job or for one trial."""

import math
from collections.abc import Mapping
from typing import Any

from cloudtune.planning.embedded_spec import packed_spec
from cloudtune.planning.plan import Beside, Ledger, Support
from cloudtune.spec.job import TuningJob, pick
from cloudtune.spec.places import is_remote
from cloudtune.store.secrets import MASK
from cloudtune.trial import data_variable
from cloudtune_vertex.capabilities import SUPPORT
from cloudtune_vertex.schema import duration_text
from cloudtune_vertex.settings import VertexSettings
from cloudtune_vertex.space import PROVIDER, helped, helper_command, starts_itself
from cloudtune_vertex.values import BUCKET

SPEC_VARIABLE = "CLOUDTUNE_SPEC"
"""The environment variable with which the spec travels; see `cloudtune.planning.embedded_spec`."""

KEPT = "${machines}"
"""The id of the run's persistent resource, once the run has one."""

DEFAULT_MACHINE = "n1-standard-4"

_GB = 1_000_000_000


class JobSpecWriter:
    """Writes the CustomJobSpec that both kinds of jobs have, and keeps the account of where each field went.

    Args:
        job: the spec.
        settings: of the profile.
        ledger: keeps the account.
        at: where it stands in the request: ``trialJobSpec`` or ``jobSpec``.
    """

    def __init__(self, job: TuningJob, settings: VertexSettings, ledger: Ledger, at: str) -> None:
        self._job = job
        self._settings = settings
        self._ledger = ledger
        self._at = at
        self._pool = f"{at}.workerPoolSpecs[0]"
        self._own_output = pick(job.output, PROVIDER) or settings.output
        self._bucket = settings.bucket or _bucket_of(self._own_output) or "${bucket}"

    def write(self, arguments: list[str]) -> dict[str, Any]:
        """The job spec.

        Args:
            arguments: of every trial's program.
        """
        spec = {
            "persistentResourceId": self._kept(),
            "workerPoolSpecs": self._pools(arguments),
            "scheduling": self._scheduling(),
            "serviceAccount": self._identity(),
            "network": self._network(),
            "baseOutputDirectory": {"outputUriPrefix": self._output()},
        }
        return {name: value for name, value in spec.items() if value not in (None, {})}

    def _kept(self) -> str | None:
        """Return the persistent resource on which the trials of a driven run find their machines; None for none."""
        compute = self._job.compute
        if compute.keep is None:
            return None
        if self._at != "jobSpec" or compute.spot:
            self._ledger.note("compute.keep", *SUPPORT[f"compute.keep.{'spot' if compute.spot else 'managed'}"])
            return None
        self._ledger.note("compute.keep", *SUPPORT["compute.keep"], f"{self._at}.persistentResourceId")
        return KEPT

    # Pools

    def _pools(self, arguments: list[str]) -> list[dict[str, Any]]:
        count = self._job.compute.count
        pool = {
            "machineSpec": self._machine(),
            "replicaCount": 1,
            **self._disk(),
            "containerSpec": self._container(arguments),
        }
        if count == 1:
            self._ledger.carry("compute.count", f"{self._pool}.replicaCount")
            return [pool]
        self._ledger.note("compute.count", *SUPPORT["compute.count"], f"{self._at}.workerPoolSpecs")
        return [pool, {**pool, "replicaCount": count - 1}]  # the first pool is a single machine, the chief

    def _machine(self) -> dict[str, Any]:
        compute, place = self._job.compute, f"{self._pool}.machineSpec"
        if compute.instance is not None:
            self._ledger.carry_per_provider("compute.instance", compute.instance, f"{place}.machineType")
        for name in ("cpus", "memory"):
            if getattr(compute, name) is not None:
                self._ledger.note(f"compute.{name}", *SUPPORT[f"compute.{name}"], f"{place}.machineType")
        machine: dict[str, Any] = {
            "machineType": pick(compute.instance, PROVIDER) or self._settings.machine or DEFAULT_MACHINE
        }
        if compute.accelerators is not None:
            self._ledger.carry("compute.accelerators.type", f"{place}.acceleratorType")
            self._ledger.carry("compute.accelerators.count", f"{place}.acceleratorCount")
            machine["acceleratorType"] = compute.accelerators.type.upper().replace("-", "_")
            machine["acceleratorCount"] = math.ceil(compute.accelerators.count)
            if compute.accelerators.count < 1:
                self._ledger.note("compute.accelerators.count", *SUPPORT["compute.accelerators.part"])
        return machine

    def _disk(self) -> dict[str, Any]:
        if self._job.compute.disk is None:
            return {}
        size = math.ceil(self._job.compute.disk / _GB)
        place, message = f"{self._pool}.diskSpec.bootDiskSizeGb", f"Vertex AI counts whole GB: {size}"
        same = size * _GB == self._job.compute.disk
        self._ledger.carry_if(same, "compute.disk", place, Support.APPROXIMATE, message)
        return {"diskSpec": {"bootDiskSizeGb": size}}

    # Program

    def _container(self, arguments: list[str]) -> dict[str, Any]:
        place = f"{self._pool}.containerSpec"
        image = pick(self._job.trial.image, PROVIDER) or self._settings.image
        if self._job.trial.image is not None:
            self._ledger.carry_per_provider("trial.image", self._job.trial.image, f"{place}.imageUri")
        container = {
            "imageUri": image,
            "command": self._command(place),
            "args": arguments,
            "env": [{"name": name, "value": value} for name, value in self._variables(place).items()],
        }
        return {name: value for name, value in container.items() if value not in (None, [])}

    def _command(self, place: str) -> list[str] | None:
        """What starts the trial helper; None where the image starts by itself."""
        name = "command" if self._job.trial.command is not None else "function"
        if starts_itself(self._job):
            self._ledger.note(f"trial.{name}", *SUPPORT["trial.command.native"])
        if helped(self._job):
            for part in ("source", "ignore"):
                self._ledger.carry(f"trial.{part}", Beside.CODE)
        else:
            for part in ("source", "ignore"):
                if getattr(self._job.trial, part):
                    self._ledger.note(f"trial.{part}", *SUPPORT["trial.source.native"])
            return None
        self._ledger.note(f"trial.{name}", *SUPPORT[f"trial.{name}"], f"{place}.command")
        return helper_command(self.code().removeprefix("gs://"))

    def code(self) -> str:
        """Where the packed code lies."""
        return f"gs://{self._bucket}/{self._settings.prefix}/${{code}}"

    def _variables(self, place: str) -> dict[str, str]:
        self._ledger.carry("trial.environment", f"{place}.env")
        own = dict.fromkeys(self._job.trial.environment, MASK)
        data = self._data(f"{place}.env")
        if not helped(self._job):
            return {**own, **data}
        return {**own, **data, "CLOUDTUNE_CODE": self.code(), SPEC_VARIABLE: packed_spec(self._job, PROVIDER)}

    # Inputs and outputs

    def _data(self, target: str) -> dict[str, str]:
        """The places of inputs, as variables from which the trial helper makes paths."""
        places = {}
        for name, value in self._job.data.items():
            place = self._place_of_data(name, pick(value, PROVIDER))
            if place is None:
                self._ledger.note(f"data.{name}", *SUPPORT["data.remote"])
                continue
            places[data_variable(name)] = place
            if "${" not in place:
                own = f"data.{name}" if isinstance(value, str) else f"data.{name}.{PROVIDER}"
                self._ledger.judge(own, BUCKET.judge(place), target)
            if not isinstance(value, str):
                self._ledger.carry_per_provider(f"data.{name}", value, target)
                self._ledger.note(f"data.{name}.{PROVIDER}", *SUPPORT["data"], target)
            else:
                self._ledger.note(f"data.{name}", *SUPPORT["data"], target)
        return places

    def _place_of_data(self, name: str, place: str | None) -> str | None:
        if place is None or place.startswith("gs://"):
            return place
        if is_remote(place):
            return None
        return f"gs://{self._bucket}/{self._settings.prefix}/data/${{data:{name}}}"

    def _output(self) -> str:
        """The folder of the run's trials: its own below what the job names, unless the program starts by itself."""
        own, target = self._own_output, f"{self._at}.baseOutputDirectory.outputUriPrefix"
        remote = own is not None and own.startswith("gs://")
        if self._job.output is not None:
            if own is not None and not remote:
                self._ledger.note("output", *SUPPORT["output.remote"])
            else:
                self._ledger.carry_per_provider("output", self._job.output, target)
                if remote and helped(self._job):
                    path = "output" if isinstance(self._job.output, str) else f"output.{PROVIDER}"
                    self._ledger.note(path, *SUPPORT["output"], target)
        if own is not None and remote:
            return f"{own.rstrip('/')}/${{run}}" if helped(self._job) else own
        return f"gs://{self._bucket}/{self._settings.prefix}/output/${{run}}"

    # The rest

    def _scheduling(self) -> dict[str, Any]:
        compute, limits, place = self._job.compute, self._job.limits, f"{self._at}.scheduling"
        scheduling: dict[str, Any] = {}
        if limits.trial_time is not None:
            scheduling["timeout"] = duration_text(limits.trial_time.total_seconds())
            self._ledger.carry("limits.trial_time", f"{place}.timeout")
        if compute.spot:
            scheduling["strategy"] = "SPOT"
        self._ledger.carry("compute.spot", f"{place}.strategy" if compute.spot else Beside.DEFAULT)
        if compute.max_wait is not None:
            self._ledger.note("compute.max_wait", *SUPPORT["compute.max_wait"])
        return scheduling

    def _identity(self) -> str | None:
        account = pick(self._job.identity, PROVIDER) or self._settings.service_account
        if self._job.identity is not None:
            self._ledger.carry_per_provider("identity", self._job.identity, f"{self._at}.serviceAccount")
        return account

    def _network(self) -> str | None:
        network = self._job.network
        if network is None:
            return None
        self._ledger.carry("network.name", f"{self._at}.network")
        for name in ("subnets", "security_groups"):
            if getattr(network, name):
                self._ledger.note(f"network.{name}", *SUPPORT[f"network.{name}"])
        if network.isolated:
            row = "network.isolated.profile" if self._settings.isolated else "network.isolated"
            self._ledger.note("network.isolated", *SUPPORT[row])
        else:
            self._ledger.carry("network.isolated", Beside.DEFAULT)
        return network.name


def encryption_of(job: TuningJob, ledger: Ledger) -> dict[str, str] | None:
    """The EncryptionSpec of a job; None for Google's own keys."""
    encryption = job.encryption
    if encryption is None:
        return None
    key = pick(encryption.key, PROVIDER)
    if encryption.key is not None:
        ledger.carry_per_provider("encryption.key", encryption.key, "encryptionSpec.kmsKeyName")
    if encryption.volume_key is not None:
        if pick(encryption.volume_key, PROVIDER) == key:
            ledger.carry_per_provider("encryption.volume_key", encryption.volume_key, "encryptionSpec.kmsKeyName")
        else:
            ledger.note("encryption.volume_key", Support.APPROXIMATE, SUPPORT["encryption.volume_key"][1])
    if encryption.traffic:
        ledger.note("encryption.traffic", *SUPPORT["encryption.traffic"])
    else:
        ledger.carry("encryption.traffic", Beside.DEFAULT)
    return None if key is None else {"kmsKeyName": key}


def with_environment(spec: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """A CustomJobSpec with the values of environment variables where a plan has masks."""
    pools = [_pool_with(pool, values) for pool in spec.get("workerPoolSpecs", [])]
    return {**spec, "workerPoolSpecs": pools}


def _pool_with(pool: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    filled = dict(pool)
    for kind in ("containerSpec", "pythonPackageSpec"):
        if kind in pool and "env" in pool[kind]:
            env = [
                {**each, "value": values.get(each["name"], MASK)} if each.get("value") == MASK else each
                for each in pool[kind]["env"]
            ]
            filled[kind] = {**pool[kind], "env": env}
    return filled


def _bucket_of(place: str | None) -> str | None:
    if place is None or not place.startswith("gs://"):
        return None
    return place.removeprefix("gs://").partition("/")[0] or None
