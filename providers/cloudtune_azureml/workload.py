"""What sweep jobs and command jobs have alike: program, machines, inputs, outputs, identity."""

import math
import shlex
from collections.abc import Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from cloudtune.planning.account import Account
from cloudtune.planning.embedded_spec import packed_spec
from cloudtune.planning.plan import Beside, Ledger, Support
from cloudtune.space.space_codec import safe_names
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob
from cloudtune.store.secrets import MASK
from cloudtune.trial import data_variable
from cloudtune.trial.container import HELPER
from cloudtune_azureml.capabilities import SUPPORT
from cloudtune_azureml.settings import AzureMlSettings
from cloudtune_azureml.space import PROVIDER, helped, starts_itself

OUTPUT = "model"
"""The output in which a trial leaves its files."""

CHECKPOINT = "checkpoint"
"""The output in which a trial finds what its earlier attempts kept."""

PARENT = "parent"
"""The output that shows a trial the checkpoint of its parent."""

_CHECKPOINTS = "azureml://datastores/workspaceblobstore/paths/cloudtune/checkpoints"
"""Below it each trial of a driven run has a folder; below the job's output where it names a datastore."""

SPEC_VARIABLE = "CLOUDTUNE_SPEC"
"""The environment variable with which the spec travels; see `cloudtune.planning.embedded_spec`."""

VARIABLES = "environment_variables"
"""The field of a trial that holds environment variables."""

CODE = "${code}"
"""Stands for the folder of the packed code, which is known when the run starts."""

_REMOTE = ("azureml:", "https://", "http://", "wasbs://", "wasb://", "abfss://", "abfs://")
_DATASTORES = "azureml:"
_MANAGED = {"managed": "managed_identity", "user": "user_identity", "token": "aml_token"}


class JobWriter(Account):
    """Writes what both kinds of jobs have, and keeps the account of where each field went.

    Args:
        job: the spec.
        settings: of the profile.
        ledger: keeps the account.
        at: what precedes the program's fields: ``trial.`` in a sweep, "" in a command job.
    """

    support = SUPPORT

    def __init__(self, job: TuningJob, settings: AzureMlSettings, ledger: Ledger, at: str) -> None:
        super().__init__(job, ledger)
        self._settings = settings
        self._at = at

    # The program

    def program(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields of a trial: command, code, environment, variables, distribution.

        Args:
            words: what stands for each parameter in the command, ready for the shell.
        """
        found = {
            "command": self._command(words),
            "code": self._code(),
            "environment": self._environment(),
            "environment_variables": self._variables(),
            "distribution": self._distribution(),
        }
        return {name: value for name, value in found.items() if value not in (None, {})}

    def _command(self, words: Mapping[str, str]) -> str | None:
        """Return what starts the trial helper: the places of inputs and outputs as variables, then the parameters."""
        name = "command" if self._job.trial.command is not None else "function"
        if starts_itself(self._job):
            self.note(f"trial.{name}", "trial.command.native")
        if not helped(self._job):
            return None
        self.note(f"trial.{name}", target=f"{self._at}command")
        names = self._input_names()
        places = [f"{data_variable(each)}='${{{{inputs.{names[each]}}}}}'" for each in self._data_names()]
        places.append(f"CLOUDTUNE_AZUREML_OUTPUT='${{{{outputs.{OUTPUT}}}}}'")
        if self._keeps_checkpoints:
            places.append(f"CLOUDTUNE_AZUREML_CHECKPOINT='${{{{outputs.{CHECKPOINT}}}}}'")
        arguments = [f"--{name}={word}" for name, word in words.items()]
        return " ".join([*places, f"python {HELPER}", *arguments])

    def _code(self) -> str | None:
        own = self._job.trial.source
        target = Beside.CODE if helped(self._job) else Beside.DEFAULT if own is None else f"{self._at}code"
        for part in ("source", "ignore"):
            self._ledger.carry(f"trial.{part}", target)
        return CODE if helped(self._job) else own

    def _environment(self) -> Any:
        given = self.own("trial.image", self._job.trial.image, f"{self._at}environment")
        image = given or self._settings.environment
        if image is None or image.startswith(("azureml:", "azureml://")):
            return image
        return {"image": image}

    def _variables(self) -> dict[str, str]:
        own = dict.fromkeys(self._job.trial.environment, MASK)
        self._ledger.carry("trial.environment", f"{self._at}environment_variables")
        return {**own, SPEC_VARIABLE: packed_spec(self._job, PROVIDER)} if helped(self._job) else own

    def _distribution(self) -> dict[str, Any] | None:
        if self._job.compute.count == 1:
            return None
        return {"type": "mpi", "process_count_per_instance": 1}

    # Machines

    def machines(self) -> dict[str, Any]:
        """Return compute, resources and queue settings."""
        compute = self._job.compute
        self.note_given("compute", "accelerators", "cpus", "memory", "disk", "max_wait", "keep")
        instance = pick(compute.instance, PROVIDER)
        cluster = instance is not None and instance.startswith("azureml:")
        self.own("compute.instance", compute.instance, "compute" if cluster else "resources.instance_type")
        row = "compute.instance.managed" if self._at else "compute.instance.several"
        self.note_several("compute.instance", compute.instance, row)
        resources: dict[str, Any] = {}
        if instance is None and self._settings.compute is None:
            instance = self._settings.instance
        if instance is not None and not cluster:
            resources["instance_type"] = instance
        if compute.count != 1:
            resources["instance_count"] = compute.count
            self.note("compute.count", target="resources.instance_count")
        else:
            self._ledger.carry("compute.count", Beside.DEFAULT)
        found = {"compute": instance if cluster else self._cluster(), "resources": resources, **self._tier()}
        return {name: value for name, value in found.items() if value}

    def _cluster(self) -> str | None:
        name = self._settings.compute
        return name if name is None or name.startswith("azureml:") else f"azureml:{name}"

    def _tier(self) -> dict[str, Any]:
        if not self._job.compute.spot:
            self._ledger.carry("compute.spot", Beside.DEFAULT)
            return {}
        self.note("compute.spot", target="queue_settings.job_tier")
        return {"queue_settings": {"job_tier": "spot"}}

    # Inputs and outputs

    def _data_names(self) -> list[str]:
        return [name for name, value in self._job.data.items() if self._is_readable(pick(value, PROVIDER))]

    def _input_names(self) -> dict[str, str]:
        """Return the service's names of the inputs."""
        return safe_names(list(self._job.data))

    def inputs(self, fixed: Mapping[str, str]) -> dict[str, Any]:
        """Return the inputs; those that lie on this machine are uploaded when the run starts.

        Args:
            fixed: parameters that do not vary, for a program that starts by itself: its command may name them.
        """
        found: dict[str, Any] = dict(fixed)
        names = self._input_names()
        for name, value in self._job.data.items():
            place = pick(value, PROVIDER)
            if place is None or not self._is_readable(place):
                self.note(f"data.{name}", "data.remote")
                continue
            target = f"inputs.{names[name]}.path"
            self._ledger.carry_per_provider(f"data.{name}", value, target)
            if "'" in place and helped(self._job):
                self.note(self.own_path(f"data.{name}", value), "data.quote", target)
            if names[name] != name:
                self._ledger.note(
                    self.own_path(f"data.{name}", value), Support.ENCODED, f"is called {names[name]}", target
                )
            found[names[name]] = {"type": _type_of(place), "path": place.removeprefix("file://")}
        return found

    def _is_readable(self, place: str | None) -> bool:
        return place is not None and ("://" not in place or place.startswith(("file://", *_REMOTE)))

    def outputs(self) -> dict[str, Any]:
        """Return the output of a trial's files, in a folder of the trial's own."""
        own, target = pick(self._job.output, PROVIDER) or self._settings.output, f"outputs.{OUTPUT}.path"
        remote = own is not None and own.startswith(_DATASTORES)
        if self._job.output is not None:
            if own is not None and not remote:
                self.note("output", "output.remote")
            else:
                self._ledger.carry_per_provider("output", self._job.output, target)
                if remote:
                    self.note(self.own_path("output", self._job.output), "output", target)
        if not helped(self._job) and not remote:
            return {}
        where = {"path": f"{own.rstrip('/')}/${{{{name}}}}"} if own is not None and remote else {}
        kept = f"{own.rstrip('/')}/checkpoints" if own is not None and remote else _CHECKPOINTS
        return {OUTPUT: {"type": "uri_folder", **where}, **self._checkpoint(kept)}

    @property
    def _keeps_checkpoints(self) -> bool:
        """Whether another attempt may follow one: a driven trial's, or that of a machine that was taken away."""
        return helped(self._job) and (not self._at or self._job.compute.spot)

    def _checkpoint(self, kept: str) -> dict[str, Any]:
        """Return the output for checkpoints: of a sweep's trial the job's own folder, which another start of it finds.

        It is mounted, so that what lies there can be read and all that is written is kept at once
        (https://learn.microsoft.com/azure/machine-learning/how-to-read-write-data-v2).
        """
        where = {} if self._at else {"path": kept}
        return {CHECKPOINT: {"type": "uri_folder", "mode": "rw_mount", **where}} if self._keeps_checkpoints else {}

    # The rest

    def rest(self) -> dict[str, Any]:
        """Return name, experiment, tags, identity; and the account of what Azure Machine Learning has elsewhere."""
        self._ledger.carry("name", "display_name")
        self._without_place()
        found = {
            "display_name": self._job.name,
            "experiment_name": self._settings.experiment or self._job.name,
            "tags": dict(self._job.tags),
            "identity": self._identity(),
        }
        for key in self._job.tags:
            self._ledger.carry(f"tags.{key}", f"tags.{key}")
        return {name: value for name, value in found.items() if value}

    def _identity(self) -> dict[str, str] | None:
        """Return ``user``, ``token``, ``managed``, or the client id of a managed identity."""
        own = self.own("identity", self._job.identity, "identity") or self._settings.identity
        if own is None:
            return None
        if own in _MANAGED:
            return {"type": _MANAGED[own]}
        return {"type": "managed_identity", "client_id": own}

    def _without_place(self) -> None:
        network, encryption = self._job.network, self._job.encryption
        if network is not None:
            self.note_given("network", "name", "subnets", "security_groups", row="network")
            self.note_isolation(network.isolated, ensured=self._settings.isolated)
        if encryption is not None:
            self.note_given("encryption", "key", "volume_key", row="encryption")
            self.note_or_default("encryption.traffic", encryption.traffic, "encryption")

    def seconds(self, duration: timedelta, path: str, target: str) -> int:
        """Return a time limit as whole seconds, 60 at least (`SweepJobLimits` raises 1 to 59 to that)."""
        exact = duration.total_seconds()
        seconds = max(60, math.ceil(exact))
        message = f"{SUPPORT['limits.short'][1]}: {seconds} s"
        self._ledger.carry_if(seconds == exact, path, target, Support.APPROXIMATE, message)
        return seconds


def _type_of(place: str) -> str:
    """Return whether a place is a file's or a folder's, as its name tells."""
    return "uri_file" if PurePosixPath(place).suffix and not place.endswith("/") else "uri_folder"


def word_of(text: str) -> str:
    """Return a word of a command for the shell."""
    return shlex.quote(text)
