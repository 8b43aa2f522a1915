"""The plan of a provider that has no tuner of its own, as far as it is the same for all of them.

cloudtune's driver does what the job says of the search; the trial's program, data and outputs are places of this machine;
and what the spec says of machines means nothing, unless the provider's table says otherwise::

    SUPPORT = {**DRIVEN_SUPPORT, "compute.cpus": (Support.EXACT, "")}

    def plan(self, job: TuningJob) -> Plan:
        ledger = Ledger(self.name)
        request = driven_request(ledger, job, SUPPORT, self.mounts)
        ledger.carry("compute.cpus", "cpus")
        return ledger.close(job, "driven", {**request, "cpus": job.compute.cpus}, Machines("node of the cluster"))
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from cloudtune.config import mounted
from cloudtune.errors import suggest
from cloudtune.planning.plan import Ledger, Support, covers, leaves, said_for
from cloudtune.planning.support import DEFAULT_SUPPORT, EXACT, SupportTable
from cloudtune.spec.fields import pick
from cloudtune.spec.job import TuningJob
from cloudtune.spec.places import is_remote, local_path
from cloudtune.spec.stopping import Auto

_OF_THE_DRIVER = (
    "name", "objective", "constraints", "metrics", "space", "require", "strategy", "first", "stopping", "limits", "retries", "warm_start", "confirm", "mode", "strict",
)  # fmt: skip
_OF_THE_TRIAL = ("source", "ignore", "command", "function", "environment")
_OF_MACHINES = (
    "trial.image", "compute.instance", "compute.count", "compute.accelerators", "compute.cpus", "compute.memory", "compute.disk",
    "compute.spot", "compute.max_wait", "compute.keep", "network", "region", "identity", "encryption", "tags",
)  # fmt: skip

DRIVEN_SUPPORT: SupportTable = {
    **DEFAULT_SUPPORT,
    "trial.image": (Support.APPROXIMATE, "no container: trials run in the Python that is there"),
    "stopping.auto": (Support.APPROXIMATE, "there is no service whose own rule could be taken: the median rule is used"),
    "mode.managed": (Support.DRIVEN, "there is no managed tuner: cloudtune drives the trials itself"),
    "compute.instance": (Support.APPROXIMATE, "trials run on the machines that are there, whatever their type"),
    "compute.count": (Support.APPROXIMATE, "a trial is one process on one machine"),
    "compute.accelerators": (Support.APPROXIMATE, "trials use the accelerators that they find"),
    "compute.cpus": (Support.APPROXIMATE, "trials share the processors that they find"),
    "compute.memory": (Support.APPROXIMATE, "trials use the memory of their machine without a limit"),
    "compute.disk": (Support.APPROXIMATE, "trials use the disk of their machine without a limit"),
    "compute.spot": (Support.APPROXIMATE, "whether a machine is taken away is not asked"),
    "compute.max_wait": (Support.APPROXIMATE, "there is no capacity to wait for"),
    "compute.keep": (Support.APPROXIMATE, "trials run on machines that are there already"),
    "data": (Support.ENCODED, "travels to each machine once"),
    "data.remote": (Support.UNSUPPORTED, "is not on this machine; give a folder or file here under the provider's own key, or mount one in cloudtune.toml"),
    "data.mounted": (Support.APPROXIMATE, "is read from the folder that stands for it (mounts in cloudtune.toml)"),
    "output": (Support.ENCODED, "outputs travel back to this folder when a trial ends"),
    "output.remote": (Support.APPROXIMATE, "nothing is uploaded: outputs travel back to the run's folder"),
    "output.mounted": (Support.APPROXIMATE, "goes to the folder that stands for it (mounts in cloudtune.toml)"),
    "network": (Support.APPROXIMATE, "trials use the network of their machine"),
    "network.isolated": (Support.UNSUPPORTED, "trials can reach the network of their machine; take isolated away"),
    "region": (Support.APPROXIMATE, "of no effect: there is no region to choose here"),
    "identity": (Support.APPROXIMATE, "trials run as the user that they are started as"),
    "encryption": (Support.APPROXIMATE, "files are as safe as the machines' disks"),
    "tags": (Support.APPROXIMATE, "kept with the run, but no service sees them"),
}  # fmt: skip
"""What most such providers do with each field; a provider's own table begins with it."""


def driven_request(
    ledger: Ledger, job: TuningJob, support: SupportTable, mounts: Mapping[str, Path]
) -> dict[str, JsonValue]:
    """Return what a launcher has to know of a job, as plain data, and account for every field but the provider's own.

    Paths in it are relative to the job file's folder. Of the fields that say something of machines, those that are exact
    in the table are the provider's to carry, and so are its own native settings.

    Args:
        ledger: takes where each field goes.
        job: the spec.
        support: the provider's table, with the rows of `DRIVEN_SUPPORT`.
        mounts: folders that stand for places in the cloud; see `cloudtune.config.mounts`.
    """
    account = _Account(ledger, job, {**DRIVEN_SUPPORT, **support}, mounts)
    account.search()
    account.machines()
    account.other_providers()
    dumped = job.model_dump(mode="json")
    return {
        **{field: dumped[field] for field in _OF_THE_DRIVER},
        "source": job.trial.source,
        "ignore": list(job.trial.ignore),
        "command": dumped["trial"]["command"],
        "function": job.trial.function,
        "environment": list(job.trial.environment),  # the names; the values are kept apart
        "count": 1,
        "spot": False,
        "data": account.data(),
        "output": account.output(),
    }


def note_wrong_settings(ledger: Ledger, provider: str, error: ValidationError, fields: Collection[str]) -> None:
    """Note what is wrong with a job's settings of one provider.

    Args:
        ledger: of the plan.
        provider: whose settings they are.
        error: of the model that reads them.
        fields: that it has.
    """
    for problem in error.errors():
        *above, last = map(str, problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"is no setting of {provider}" + ("" if above else f"; {suggest(last, fields)}")
        ledger.note(".".join([provider, *above, last]), Support.UNSUPPORTED, message)


def place_here(value: str | dict[str, str], provider: str, mounts: Mapping[str, Path]) -> str | None:
    """Return the place on this machine that a setting names, or that stands for it; None where there is none.

    Args:
        value: one place, or one a provider.
        provider: the trials' provider.
        mounts: folders that stand for places in the cloud; see `cloudtune.config.mounts`.
    """
    own = _own_place(value, provider, mounts)
    if own is not None:
        return own
    places = [value] if isinstance(value, str) else [place for name, place in value.items() if name != provider]
    found = (mounted(place, mounts) for place in places)
    return next((str(folder) for folder in found if folder is not None), None)


def _own_place(value: str | dict[str, str], provider: str, mounts: Mapping[str, Path]) -> str | None:
    """Return the path of this machine that a setting names for a provider, if nothing stands for it."""
    place = pick(value, provider)
    found = place is not None and not is_remote(place) and mounted(place, mounts) is None
    return local_path(place) if place is not None and found else None


class _Account:
    """Accounts for the fields of one job; see `driven_request`."""

    def __init__(self, ledger: Ledger, job: TuningJob, support: SupportTable, mounts: Mapping[str, Path]) -> None:
        self._ledger, self._job, self._support, self._mounts = ledger, job, support, mounts
        self._said = [path for path, _ in leaves(job)]

    def search(self) -> None:
        """Account for the fields of the driver and of the trial's program."""
        trial, ways = self._job.trial, {}
        if isinstance(self._job.stopping, Auto):
            ways["stopping"] = "stopping.auto"
        if self._job.mode == "managed":
            ways["mode"] = "mode.managed"
        if trial.source is None and "trial.source.none" in self._support:
            ways["trial.function" if trial.command is None else "trial.command"] = "trial.source.none"
        for path in (*_OF_THE_DRIVER, *(f"trial.{field}" for field in _OF_THE_TRIAL)):
            self._put(path, path.removeprefix("trial."), ways.get(path, path))
        if trial.command is None and trial.function is None:
            message = "an image's own entrypoint does not run here; give a command or a function"
            self._ledger.note("trial.image", Support.UNSUPPORTED, message)

    def machines(self) -> None:
        """Note the fields of the job that have no meaning on this provider."""
        neutral = {"compute.count": self._job.compute.count == 1, "compute.spot": not self._job.compute.spot}
        for row in _OF_MACHINES:
            if self._support[row] == EXACT or not self._says(row):
                continue
            if neutral.get(row):
                self._ledger.carry(row, row.removeprefix("compute."))
            else:
                self._ledger.note(row, *self._support[row])
        if self._job.network is not None and self._job.network.isolated:
            self._ledger.note("network.isolated", *self._support["network.isolated"])

    def other_providers(self) -> None:
        """Note the native settings of other providers."""
        self._ledger.note_other_natives(self._job, *self._support["native"])

    def data(self) -> dict[str, JsonValue]:
        """Return the inputs on this machine, by name."""
        places: dict[str, JsonValue] = {}
        for name, value in self._job.data.items():
            place = self._place(f"data.{name}", "data", value)
            if place is not None:
                places[name] = place
        return places

    def output(self) -> str | None:
        """Return the folder on this machine for outputs; None for the run's own."""
        return None if self._job.output is None else self._place("output", "output", self._job.output)

    def _place(self, path: str, row: str, value: str | dict[str, str]) -> str | None:
        """Return the place on this machine that a setting names, or that stands for it; None where there is none."""
        provider = self._ledger.provider
        own, folder = _own_place(value, provider, self._mounts), place_here(value, provider, self._mounts)
        if own is not None:
            self._put(path if isinstance(value, str) else f"{path}.{provider}", path, row)
            for other in value.keys() - {provider} if isinstance(value, dict) else ():
                self._ledger.note(f"{path}.{other}", *said_for(other))
        elif folder is not None:
            self._ledger.note(path, *self._support[f"{row}.mounted"], path)
        else:
            self._ledger.note(path, *self._support[f"{row}.remote"])
        return folder

    def _put(self, path: str, target: str, row: str) -> None:
        if self._support[row] == EXACT:
            self._ledger.carry(path, target)
        elif self._says(path):
            self._ledger.note(path, *self._support[row], target)

    def _says(self, path: str) -> bool:
        return any(covers(path, said) for said in self._said)
