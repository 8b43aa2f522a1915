"""The support of this machine for each field of a job, and the request for the launcher."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from cloudtune.planning.plan import Ledger, Machines, Plan, Support
from cloudtune.planning.support import SupportTable
from cloudtune.process.setting import LOG_SIZE
from cloudtune.provider.driven_plan import DRIVEN_SUPPORT, driven_request, note_wrong_settings
from cloudtune.space.parameters import SpecModel
from cloudtune.spec.fields import Size
from cloudtune.spec.job import TuningJob

if TYPE_CHECKING:
    from cloudtune.process.leases import Resources

PROVIDER = "local"

_NOT_HERE = Support.APPROXIMATE
SUPPORT: SupportTable = {
    **DRIVEN_SUPPORT,
    "trial.image": (_NOT_HERE, "no container: trials run as processes of this machine, in the Python that runs cloudtune"),
    "warm_start.kind": (Support.EXACT, ""),
    "mode.managed": (Support.DRIVEN, "there is no managed tuner on this machine: cloudtune drives the trials itself"),
    "compute.instance": (_NOT_HERE, "trials run on this machine, whatever its type"),
    "compute.count": (_NOT_HERE, "trials run on this one machine; a distributed trial runs as one process"),
    "compute.accelerators": (Support.EXACT, ""),
    "compute.accelerators.other": (_NOT_HERE, "this machine has not got them: trials get what it has instead"),
    "compute.cpus": (Support.EXACT, ""),
    "compute.cpus.fewer": (_NOT_HERE, "this machine has fewer: each trial gets all of them"),
    "compute.memory": (Support.EXACT, ""),
    "compute.memory.less": (_NOT_HERE, "this machine has less: trials run one at a time"),
    "compute.disk": (_NOT_HERE, "trials use the disk of this machine without a limit"),
    "compute.spot": (_NOT_HERE, "this machine is not taken away"),
    "compute.keep": (_NOT_HERE, "this machine is there already"),
    "data": (Support.EXACT, ""),
    "data.remote": (Support.UNSUPPORTED, "is not on this machine; give a folder or file here under the key local: {local: ./data, …}, or mount one in cloudtune.toml"),
    "output": (Support.EXACT, ""),
    "output.remote": (_NOT_HERE, "nothing is uploaded: outputs stay in the run's folder; give a folder under the key local to copy them there"),
    "network": (_NOT_HERE, "trials use the network of this machine"),
    "network.isolated": (Support.UNSUPPORTED, "trials here can reach the network; run without isolated, or in a container of your own"),
    "identity": (_NOT_HERE, "trials run as the user who started cloudtune"),
    "encryption": (_NOT_HERE, "files are as safe as this machine's disk"),
    "local": (Support.EXACT, ""),
}  # fmt: skip
"""Support of this machine for each field, with a remark: by path, or by a field and one of its values."""


class LocalSettings(SpecModel):
    """The settings under ``local:``."""

    grace: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Seconds between the request to end (SIGTERM) and the end (SIGKILL)."""
    log_size: Annotated[Size, Field(ge=4096)] = LOG_SIZE
    """How much of its output the log of a trial keeps: the first half of so much, and the last of it."""
    isolate: bool = True
    """For functions: whether each trial has a process of its own; false lets a pool of workers take many each."""
    python: Annotated[str, Field(min_length=1)] | None = None
    """The interpreter that commands find as ``python`` (its folder comes first in PATH); null for the one that runs cloudtune."""


def translate(job: TuningJob, mounts: Mapping[str, Path] | None = None, here: "Resources | None" = None) -> Plan:
    """Return the plan for this machine: all that the launcher needs to know as plain data, and where each leaf of the job went.

    Args:
        job: the spec.
        mounts: folders that replace places in the cloud; see `cloudtune.config.mounts`.
        here: what this machine has; None if the job needs nothing of it in particular.
    """
    ledger = Ledger(PROVIDER)
    request = driven_request(ledger, job, SUPPORT, mounts or {})
    compute = job.compute.model_dump(mode="json", include={"accelerators", "cpus"})
    for field in ("accelerators", "cpus", "memory"):
        ledger.carry(f"compute.{field}", field)
    if here is not None:
        from cloudtune_local.machine import note_machine  # noqa: PLC0415  # most jobs need nothing of it in particular

        note_machine(ledger, job, here, SUPPORT)
    settings = _settings(ledger, job).model_dump(mode="json")
    request |= {**compute, "memory": job.compute.memory, "settings": settings}
    return ledger.close(job, "driven", request, Machines("process of this machine"))


def _settings(ledger: Ledger, job: TuningJob) -> LocalSettings:
    try:
        settings = LocalSettings.model_validate(job.native_settings("local"))
    except ValidationError as error:
        note_wrong_settings(ledger, "local", error, LocalSettings.model_fields)
        ledger.carry("local", "settings")
        return LocalSettings()
    ledger.carry("local", "settings")
    return settings
