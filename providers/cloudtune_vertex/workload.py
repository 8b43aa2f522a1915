"""A CustomJobSpec: program, machines, inputs, outputs, network and identity, for a tuning job or for one trial."""

import math
from typing import Any

from cloudtune.planning.account import Account
from cloudtune.planning.embedded_spec import packed_spec
from cloudtune.planning.plan import Beside, Ledger
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.places import bucket_of, is_remote
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

VARIABLES = "env"
"""The field of a container or a program that holds environment variables."""

DEFAULT_MACHINE = "n1-standard-4"

_GB = 1_000_000_000


class JobSpecWriter(Account):
    """Writes the CustomJobSpec that both kinds of jobs have, and keeps the account of where each field went.

    Args:
        job: the spec.
        settings: of the profile.
        ledger: keeps the account.
        at: where it stands in the request: ``trialJobSpec`` or ``jobSpec``.
    """

    support = SUPPORT

    def __init__(self, job: TuningJob, settings: VertexSettings, ledger: Ledger, at: str) -> None:
        super().__init__(job, ledger)
        self._settings = settings
        self._at = at
        self._pool = f"{at}.workerPoolSpecs[0]"
        self._own_output = pick(job.output, PROVIDER) or settings.output
        self._bucket = settings.bucket or bucket_of(self._own_output, "gs") or "${bucket}"

    def write(self, arguments: list[str]) -> dict[str, Any]:
        """Return the job spec.

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
        self.note("compute.count", target=f"{self._at}.workerPoolSpecs")
        return [pool, {**pool, "replicaCount": count - 1}]  # the first pool is a single machine, the chief

    def _machine(self) -> dict[str, Any]:
        compute, place = self._job.compute, f"{self._pool}.machineSpec"
        instance = self.own("compute.instance", compute.instance, f"{place}.machineType")
        row = "compute.instance.several" if self._at == "jobSpec" else "compute.instance.managed"
        self.note_several("compute.instance", compute.instance, row, f"{place}.machineType")
        self.note_given("compute", "cpus", "memory", target=f"{place}.machineType")
        machine: dict[str, Any] = {"machineType": instance or self._settings.machine or DEFAULT_MACHINE}
        if compute.accelerators is not None:
            self._ledger.carry("compute.accelerators.type", f"{place}.acceleratorType")
            self._ledger.carry("compute.accelerators.count", f"{place}.acceleratorCount")
            machine["acceleratorType"] = compute.accelerators.type.upper().replace("-", "_")
            machine["acceleratorCount"] = math.ceil(compute.accelerators.count)
            if compute.accelerators.count < 1:
                self.note("compute.accelerators.count", "compute.accelerators.part")
        return machine

    def _disk(self) -> dict[str, Any]:
        if self._job.compute.disk is None:
            return {}
        place, exact = f"{self._pool}.diskSpec.bootDiskSizeGb", self._job.compute.disk / _GB
        size = self.whole("compute.disk", exact, "Vertex AI counts whole GB", place)
        return {"diskSpec": {"bootDiskSizeGb": size}}

    # Program

    def _container(self, arguments: list[str]) -> dict[str, Any]:
        place = f"{self._pool}.containerSpec"
        image = self.own("trial.image", self._job.trial.image, f"{place}.imageUri") or self._settings.image
        container = {
            "imageUri": image,
            "command": self._command(place),
            "args": arguments,
            "env": [{"name": name, "value": value} for name, value in self._variables(place).items()],
        }
        return {name: value for name, value in container.items() if value not in (None, [])}

    def _command(self, place: str) -> list[str] | None:
        """Return what starts the trial helper; None where the image starts by itself."""
        if not helped(self._job):
            self.note_code_of_none(starts_itself=starts_itself(self._job))
            return None
        for part in ("source", "ignore"):
            self._ledger.carry(f"trial.{part}", Beside.CODE)
        name = "command" if self._job.trial.command is not None else "function"
        self.note(f"trial.{name}", target=f"{place}.command")
        return helper_command(self.code().removeprefix("gs://"))

    def code(self) -> str:
        """Return where the packed code lies."""
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
        """Return the places of inputs, as variables from which the trial helper makes paths."""
        places = {}
        for name, value in self._job.data.items():
            place = self._place_of_data(name, pick(value, PROVIDER))
            if place is None:
                self.note(f"data.{name}", "data.remote")
                continue
            places[data_variable(name)] = place
            own = self.own_path(f"data.{name}", value)
            if "${" not in place:
                self._ledger.judge(own, BUCKET.judge(place), target)
            if not isinstance(value, str):
                self._ledger.carry_per_provider(f"data.{name}", value, target)
            self.note(own, "data", target)
        return places

    def _place_of_data(self, name: str, place: str | None) -> str | None:
        if place is None or place.startswith("gs://"):
            return place
        if is_remote(place):
            return None
        return f"gs://{self._bucket}/{self._settings.prefix}/data/${{data:{name}}}"

    def _output(self) -> str:
        """Return the folder of the run's trials: its own below what the job names, unless the program starts by itself."""
        own, target = self._own_output, f"{self._at}.baseOutputDirectory.outputUriPrefix"
        remote = own is not None and own.startswith("gs://")
        if self._job.output is not None:
            if own is not None and not remote:
                self.note("output", "output.remote")
            else:
                self._ledger.carry_per_provider("output", self._job.output, target)
                if remote and helped(self._job):
                    self.note(self.own_path("output", self._job.output), "output", target)
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
        self.carry_switch("compute.spot", compute.spot, f"{place}.strategy")
        self.note_given("compute", "max_wait")
        return scheduling

    def _identity(self) -> str | None:
        own = self.own("identity", self._job.identity, f"{self._at}.serviceAccount")
        return own or self._settings.service_account

    def _network(self) -> str | None:
        network = self._job.network
        if network is None:
            return None
        self._ledger.carry("network.name", f"{self._at}.network")
        self.note_given("network", "subnets", "security_groups")
        self.note_isolation(network.isolated, ensured=self._settings.isolated)
        return network.name

    def encryption(self) -> dict[str, Any]:
        """Return the EncryptionSpec of a job; nothing for Google's own keys."""
        encryption = self._job.encryption
        if encryption is None:
            return {}
        target = "encryptionSpec.kmsKeyName"
        key = self.own("encryption.key", encryption.key, target)
        if pick(encryption.volume_key, PROVIDER) == key:
            self.own("encryption.volume_key", encryption.volume_key, target)
        else:
            self.note_given("encryption", "volume_key")
        self.note_or_default("encryption.traffic", encryption.traffic)
        return {} if key is None else {"encryptionSpec": {"kmsKeyName": key}}
