"""What this machine has for a job's trials, and what a plan says where that is not what the job asks for."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from cloudtune.errors import ConfigError
from cloudtune.planning.plan import Ledger, Support
from cloudtune.process.devices import Device, gpus_here, is_of_kind
from cloudtune.process.leases import SUPPORTED, Resources, resources_here
from cloudtune.process.needs import needs_of
from cloudtune.provider.settings import Settings
from cloudtune.spec.compute import Accelerators
from cloudtune.spec.job import TuningJob


def _words(said: object) -> object:
    """Take "4" from the environment for a number, and "0,1" for a list; numbers of devices for their names."""
    if isinstance(said, str):
        return int(said) if said.isdecimal() else [word.strip() for word in said.split(",")]
    return [str(word) for word in said] if isinstance(said, list | tuple) else said


class LocalProfile(Settings):
    """What a profile may say besides ``provider = "local"``."""

    gpus: Annotated[Annotated[int, Field(ge=0)] | tuple[str, ...] | None, BeforeValidator(_words)] = None
    """How many GPUs trials may use, or which, by their numbers or UUIDs; null for all that are found."""


def resources_for(job: TuningJob, profile: LocalProfile, environ: Mapping[str, str]) -> Resources:
    """Return what this machine has for a job's trials.

    Args:
        job: the spec.
        profile: says which GPUs may be used.
        environ: of the trials; the job's own variables are added.

    Raises:
        ConfigError: the profile names a GPU that is not there.
    """
    accelerators = job.compute.accelerators
    kind = None if accelerators is None else accelerators.type
    try:
        return resources_here(needs_of(job), kind, profile.gpus, {**environ, **job.trial.environment})
    except ValueError as error:
        raise ConfigError(f"the setting 'gpus' of the local profile: {error}") from None


def gpus_in_words(profile: LocalProfile) -> str:
    """Return which GPUs trials may use, for `check`."""
    try:
        return _in_words(gpus_here(profile.gpus).devices)
    except ValueError as error:
        return str(error)


def _in_words(devices: tuple[Device, ...]) -> str:
    kinds = Counter(device.kind or "GPU" for device in devices)
    return ", ".join(f"{count} × {kind}" for kind, count in kinds.items()) or "no GPU"


def _gigabytes(memory: int) -> str:
    return f"{memory / 1e9:,.1f} GB"


def note_machine(ledger: Ledger, job: TuningJob, here: Resources, support: Mapping[str, tuple[Support, str]]) -> None:
    """Note where this machine has not what a job's trials need, and where fewer of them fit than may run at once."""
    for path, row, has in _missing(job, here):
        word, message = support[row]
        ledger.note(path, word, f"{message} ({has})", path.removeprefix("compute."))
    needs, parallel = needs_of(job), job.limits.parallel
    room = here.room(needs, parallel) if SUPPORTED else parallel
    if room < parallel:
        parts = [f"{len(here.cpus)} processors", f"{_gigabytes(here.memory)} of memory"]
        has = ", ".join([*parts, _in_words(here.gpus.devices)] if needs.gpus else parts)
        message = f"{room} at once: no more fit on this machine ({has})"
        ledger.note("limits.parallel", Support.APPROXIMATE, message, "limits.parallel")


def _missing(job: TuningJob, here: Resources) -> Iterator[tuple[str, str, str]]:
    """Yield the fields of which this machine has less or others, their rows in the table of support, and what it has."""
    compute = job.compute
    if compute.cpus is not None and compute.cpus > len(here.cpus):
        yield "compute.cpus", "compute.cpus.fewer", f"{len(here.cpus)} processors"
    if compute.memory is not None and compute.memory > here.memory:
        yield "compute.memory", "compute.memory.less", _gigabytes(here.memory)
    if compute.accelerators is not None:
        for part in _missing_of_gpus(compute.accelerators, here.gpus.devices):
            yield f"compute.accelerators{part}", "compute.accelerators.other", _in_words(here.gpus.devices)


def _missing_of_gpus(asked: Accelerators, devices: tuple[Device, ...]) -> list[str]:
    if not devices:
        return [""]
    other, fewer = not is_of_kind(devices[0], asked.type), asked.count > len(devices)
    return [part for part, missing in ((".type", other), (".count", fewer)) if missing]
