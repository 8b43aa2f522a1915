"""The support of this machine for each field of a job, and the request for the launcher."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, ValidationError

from cloudtune.config import mounted
from cloudtune.planning.plan import Ledger, Machines, Plan, Support, leaves
from cloudtune.process.setting import LOG_SIZE
from cloudtune.space.parameters import SpecModel
from cloudtune.spec.job import Size, TuningJob, pick
from cloudtune.spec.places import is_remote, local_path
from cloudtune.spec.strategies import Auto

PROVIDER = "local"

_NOT_HERE = Support.APPROXIMATE
SUPPORT: Mapping[str, tuple[Support, str]] = {
    "name": (Support.EXACT, ""),
    "trial.source": (Support.EXACT, ""),
    "trial.ignore": (Support.EXACT, ""),
    "trial.command": (Support.EXACT, ""),
    "trial.function": (Support.EXACT, ""),
    "trial.image": (_NOT_HERE, "no container: trials run as processes of this machine, in the Python that runs cloudtune"),
    "trial.environment": (Support.EXACT, ""),
    "objective": (Support.EXACT, ""),
    "metrics": (Support.EXACT, ""),
    "space": (Support.EXACT, ""),
    "strategy": (Support.EXACT, ""),
    "stopping": (Support.EXACT, ""),
    "stopping.auto": (Support.APPROXIMATE, "there is no service whose own rule could be taken: the median rule is used"),
    "limits": (Support.EXACT, ""),
    "retries": (Support.EXACT, ""),
    "warm_start": (Support.EXACT, ""),
    "warm_start.kind": (Support.EXACT, ""),
    "mode": (Support.EXACT, ""),
    "mode.managed": (Support.DRIVEN, "there is no managed tuner on this machine: cloudtune drives the trials itself"),
    "strict": (Support.EXACT, ""),
    "compute.instance": (_NOT_HERE, "trials run on this machine, whatever its type"),
    "compute.count": (_NOT_HERE, "trials run on this one machine; a distributed trial runs as one process"),
    "compute.accelerators": (_NOT_HERE, "trials use the accelerators that they find on this machine"),
    "compute.cpus": (_NOT_HERE, "the processors are shared; limits.parallel says how many trials share them"),
    "compute.memory": (Support.EXACT, ""),
    "compute.disk": (_NOT_HERE, "trials use the disk of this machine without a limit"),
    "compute.spot": (_NOT_HERE, "this machine is not taken away"),
    "compute.max_wait": (_NOT_HERE, "there is no capacity to wait for"),
    "data": (Support.EXACT, ""),
    "data.remote": (Support.UNSUPPORTED, "is not on this machine; give a folder or file here under the key local: {local: ./data, …}, or mount one in cloudtune.toml"),
    "data.mounted": (Support.APPROXIMATE, "is read from the folder that stands for it (mounts in cloudtune.toml)"),
    "output": (Support.EXACT, ""),
    "output.remote": (_NOT_HERE, "nothing is uploaded: outputs stay in the run's folder; give a folder under the key local to copy them there"),
    "output.mounted": (Support.APPROXIMATE, "goes to the folder that stands for it (mounts in cloudtune.toml)"),
    "network": (_NOT_HERE, "trials use the network of this machine"),
    "network.isolated": (Support.UNSUPPORTED, "trials here can reach the network; run without isolated, or in a container of your own"),
    "identity": (_NOT_HERE, "trials run as the user who started cloudtune"),
    "encryption": (_NOT_HERE, "files are as safe as this machine's disk"),
    "tags": (_NOT_HERE, "kept with the run, but no service sees them"),
    "local": (Support.EXACT, ""),
    "native": (_NOT_HERE, "settings of another provider: of no effect here"),
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


class LocalRequest(SpecModel):
    """All that the local launcher needs to know; paths are relative to the job file's folder."""

    name: str
    source: str | None
    ignore: tuple[str, ...]
    command: str | tuple[str, ...] | None
    function: str | None
    environment: tuple[str, ...]
    """The names of the variables; their values are kept apart."""
    objective: tuple[dict[str, JsonValue], ...]
    metrics: dict[str, str]
    space: dict[str, JsonValue]
    strategy: dict[str, JsonValue]
    stopping: dict[str, JsonValue] | None
    limits: dict[str, JsonValue]
    retries: int
    warm_start: dict[str, JsonValue] | None
    mode: str
    strict: bool
    memory: int | None
    """Bytes that a trial, its child processes included, may use."""
    count: Literal[1] = 1
    """Machines of a trial."""
    spot: Literal[False] = False
    """Whether the machine may be taken away."""
    data: dict[str, str]
    output: str | None
    settings: LocalSettings


def translate(job: TuningJob, mounts: Mapping[str, Path] | None = None) -> Plan:
    """Return the plan for this machine: a `LocalRequest` as plain data, and where each leaf of the job went.

    Args:
        job: the spec.
        mounts: folders that replace places in the cloud; see `cloudtune.config.mounts`.
    """
    mounts = mounts or {}
    ledger = Ledger(PROVIDER)
    for field in ("name", "objective", "metrics", "space", "limits", "retries", "warm_start", "strict"):
        ledger.carry(field, field)
    for field in ("source", "ignore", "command", "function", "environment"):
        ledger.carry(f"trial.{field}", field)
    ledger.carry("compute.memory", "memory")
    _chosen(ledger, "strategy", "strategy")
    _chosen(ledger, "stopping", "stopping.auto" if isinstance(job.stopping, Auto) else "stopping")
    _chosen(ledger, "mode", "mode.managed" if job.mode == "managed" else "mode")
    if job.trial.command is None and job.trial.function is None:
        ledger.note(
            "trial.image",
            Support.UNSUPPORTED,
            "an image's own entrypoint does not run here; give a command or a function",
        )
    data = _places_of_data(ledger, job, mounts)
    output = _place_of_output(ledger, job, mounts)
    _account_for_what_is_not_here(ledger, job)
    settings = _settings(ledger, job)
    dumped = job.model_dump(mode="json")
    request = LocalRequest(
        name=job.name,
        source=job.trial.source,
        ignore=job.trial.ignore,
        command=job.trial.command,
        function=job.trial.function,
        environment=tuple(job.trial.environment),
        memory=job.compute.memory,
        data=data,
        output=output,
        settings=settings,
        **{field: dumped[field] for field in ("objective", "metrics", "space", "strategy", "stopping", "limits", "retries", "warm_start", "mode", "strict")},
    )  # fmt: skip
    return ledger.close(job, "driven", request.model_dump(mode="json"), Machines("process of this machine"))


def _chosen(ledger: Ledger, path: str, row: str) -> None:
    support, remark = SUPPORT[row]
    if support is Support.EXACT:
        ledger.carry(path, path)
    else:
        ledger.note(path, support, remark, path)


def _places_of_data(ledger: Ledger, job: TuningJob, mounts: Mapping[str, Path]) -> dict[str, str]:
    places: dict[str, str] = {}
    for name, value in job.data.items():
        place, path = pick(value, PROVIDER), f"data.{name}"
        folder = _mounted(value, mounts)
        if place is not None and not is_remote(place):
            places[name] = local_path(place)
            _carry_own(ledger, path, value)
        elif folder is not None:
            places[name] = folder
            ledger.note(path, *SUPPORT["data.mounted"], path)
        else:
            ledger.note(path, *SUPPORT["data.remote"])
    return places


def _mounted(value: str | dict[str, str], mounts: Mapping[str, Path]) -> str | None:
    """Return the folder that replaces one of the places in the cloud that a setting names; None where none does."""
    places = [value] if isinstance(value, str) else [place for name, place in value.items() if name != PROVIDER]
    found = (mounted(place, mounts) for place in places)
    return next((str(folder) for folder in found if folder is not None), None)


def _place_of_output(ledger: Ledger, job: TuningJob, mounts: Mapping[str, Path]) -> str | None:
    if job.output is None:
        return None
    place, folder = pick(job.output, PROVIDER), _mounted(job.output, mounts)
    if place is not None and not is_remote(place):
        _carry_own(ledger, "output", job.output)
        return local_path(place)
    ledger.note("output", *SUPPORT["output.remote" if folder is None else "output.mounted"])
    return folder


def _carry_own(ledger: Ledger, path: str, value: str | dict[str, str]) -> None:
    """Carry a setting with a value for each provider; note the other providers' values."""
    if isinstance(value, str):
        ledger.carry(path, path)
        return
    ledger.carry(f"{path}.{PROVIDER}", path)
    for other in value.keys() - {PROVIDER}:
        ledger.note(f"{path}.{other}", Support.APPROXIMATE, f"said for {other}: of no effect here")


def _account_for_what_is_not_here(ledger: Ledger, job: TuningJob) -> None:
    """Note the fields that have no effect on this machine, if the job gives them."""
    said = [path for path, _ in leaves(job)]
    rows = ["trial.image", "compute.instance", "compute.count", "compute.accelerators", "compute.cpus", "compute.disk",
            "compute.spot", "compute.max_wait", "network", "identity", "encryption", "tags"]  # fmt: skip
    for row in rows:
        if any(path == row or path.startswith((row + ".", row + "[")) for path in said):
            neutral = (row == "compute.count" and job.compute.count == 1) or (
                row == "compute.spot" and not job.compute.spot
            )
            if neutral:
                ledger.carry(row, row.removeprefix("compute."))
            else:
                ledger.note(row, *SUPPORT[row])
    if job.network is not None and job.network.isolated:
        ledger.note("network.isolated", *SUPPORT["network.isolated"])
    for field in ("sagemaker", "vertex", "azureml", "ray", "native"):
        if any(path == field or path.startswith(field + ".") for path in said):
            ledger.note(field, *SUPPORT["native"])


def _settings(ledger: Ledger, job: TuningJob) -> LocalSettings:
    try:
        settings = LocalSettings.model_validate(job.local)
    except ValidationError as error:
        for problem in error.errors():
            path = ".".join(["local", *(str(part) for part in problem["loc"])])
            known = ", ".join(LocalSettings.model_fields)
            message = f"the local provider knows {known}" if problem["type"] == "extra_forbidden" else problem["msg"]
            ledger.note(path, Support.UNSUPPORTED, message)
        ledger.carry("local", "settings")
        return LocalSettings()
    ledger.carry("local", "settings")
    return settings
